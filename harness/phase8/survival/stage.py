"""The ladder of a profile as steps: which variants stand on it, and what of each is made from what.

Base, live adapter, fused float, fused at each width, zero-delta control at each width. The rungs that the profile
does not judge are fused only to be compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from phase8.cases.cases import find_case_file
from phase8.core.artefact import Step, code_of
from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import file_sha256
from phase8.core.machine import GB, has_fast_quantised_kernels, numeric_environment, this_machine
from phase8.profile.sections import Fuse, GgufBase, PocketBase, Survival
from phase8.profile.terms import ADAPTER, RECIPES, Width
from phase8.quant.layout import Target, target
from phase8.record.ladder import RecipeSizes
from phase8.stages.flow import ASKING, Flow, Variant
from phase8.stages.training import Source

if TYPE_CHECKING:
    from phase8.engine.score.rows import Work

FLOAT = "fused-float"
INTEGRITY, DELTA, SIZES = "integrity.json", "delta.json", "sizes.json"
_SHARE_OF_MEMORY = 0.75  # of the machine's, that the fused float model may take


# What decides a score beside its inputs, and what is found out about a fused folder.
SCORING = (
    *ASKING,
    *("record/scores.py", "stats/token_metrics.py"),
    *("engine/fuse/requested_target.py", "engine/generate/prefix_cache.py"),
    *("engine/load/rows.py", "engine/score/rows.py", "engine/score/score.py", "engine/train/loss.py"),
)
CHECKING = (
    *("core/model_files.py", "quant/classify.py", "quant/layout.py"),
    *("engine/arrays.py", "engine/load/models.py", "engine/load/tokenizer.py"),
    *(f"engine/fuse/{name}.py" for name in ("float_model", "kernels", "pipeline", "quantisers", "recipe")),
    "engine/fuse/tensor_sources.py",
    *(f"engine/integrity/{name}.py" for name in ("arithmetic", "check", "delta_stats", "deltas", "folder")),
    *(f"engine/integrity/{name}.py" for name in ("mismatch", "quantised", "survey")),
)


@dataclass(frozen=True)
class Reference:
    """The variant that divergence and recovery are measured from, and why it is this one."""

    variant: Variant
    reason: str


class SurvivalStage:
    """The ladder's steps above the stages of a profile.

    Raises:
        InvalidInput: the profile has no [survival] section.
    """

    def __init__(self, flow: Flow) -> None:
        if flow.profile.survival is None or flow.profile.fuse is None:
            raise InvalidInput(f"{flow.located.path}: [survival] is missing; without it no ladder is scored")
        self.flow = flow
        self.settings: Survival = flow.profile.survival
        self.fuse: Fuse = flow.profile.fuse

    @cached_property
    def reference(self) -> Reference:
        """The fused float model, or the live adapter where that would not fit into this machine's memory."""
        parameters = getattr(self.flow.profile.base, "parameters", None)
        if parameters is None:
            return Reference(self.flow.variant(ADAPTER), "the size of the base is not known: set base.parameters")
        needed, here = parameters * (2 if has_fast_quantised_kernels() else 4) / GB, this_machine().memory_gb
        told = f"the fused float model takes about {needed:.2g} GB of the {here:g} GB here"
        if needed > _SHARE_OF_MEMORY * here:
            return Reference(self.flow.variant(ADAPTER), told)
        return Reference(self._fused(FLOAT, self.flow.adapter, self._target(None)), told)

    @cached_property
    def widths(self) -> list[Width]:
        """Judged and control widths, the widest first."""
        return sorted({*self.fuse.widths, *self.settings.control_widths}, reverse=True)

    @cached_property
    def other_recipe(self) -> Variant | None:
        """The lowest production width (without one, the widest) in the recipe that the profile does not use."""
        if not self.settings.compare_recipes:
            return None
        production = [b for b in self.fuse.widths if self.flow.profile.role(f"fused-{b}bit") == "production"]
        bits = min(production) if production else max(self.fuse.widths)
        recipe = next(recipe for recipe in RECIPES if recipe != self.fuse.recipe)
        wanted = self._target(bits).model_copy(update={"recipe": recipe})
        return self._fused(f"fused-{bits}bit.{recipe}", self.flow.adapter, wanted)

    @cached_property
    def rungs(self) -> list[Variant]:
        """Every variant of the ladder, in its order."""
        flow, reference = self.flow, self.reference.variant
        found = [flow.variant("base"), flow.variant(ADAPTER)]
        found += [reference] if reference.name == FLOAT else []
        found += [self._fused(f"fused-{b}bit", flow.adapter, self._target(b)) for b in self.widths]
        found += [self.other_recipe] if self.other_recipe else []
        return found + [self._fused(f"zero-{b}bit", flow.zero, self._target(b)) for b in self.widths]

    def needed(self, only: Sequence[str]) -> list[Variant]:
        """The rungs that judging the named variants takes; all where none, or every judged one, is named."""
        if not only or {variant.name for variant in self.judged()} <= set(only):
            return self.rungs
        always = {"base", ADAPTER, self.reference.variant.name}
        bits = {self.flow.variant(name).bits for name in only}
        wanted = always | set(only) | {f"zero-{b}bit" for b in bits}
        return [rung for rung in self.rungs if rung.name in wanted] if self.judged(only) else []

    def judged(self, only: Sequence[str] = ()) -> list[Variant]:
        """The fused variants that the profile judges, those of the given names where any are given."""
        return [v for v in self.flow.variants() if v.kind == "fused" and (not only or v.name in only)]

    def rung(self, name: str) -> Variant:
        """One rung by its name.

        Raises:
            InvalidInput: no rung has this name.
        """
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise InvalidInput(f"{name!r} is not on the ladder: {', '.join(rung.name for rung in self.rungs)}")

    def scores(self, rung: Variant) -> Step:
        """What one rung scored; the reference's also holds its log-probabilities."""
        flow, reference = self.flow, self.reference.variant
        is_reference = rung.name == reference.name
        ask = rung.name not in flow.profile.variant_names()

        def make(out: Path) -> None:
            from phase8.engine.score.score import score

            theirs = None if is_reference else flow.path(self.scores(reference))
            adapter = flow.path(rung.adapter) if rung.adapter else None
            score(flow.path(rung.folder), adapter, self.work, theirs, out, ask=ask)

        inputs = {
            "variant": rung.key,
            "reference": None if is_reference else reference.key,
            "rows": self.settings.rows,
            "asked": ask,
            "prompting": flow.profile.prompting.model_dump(mode="json"),
            "canonical": file_sha256(find_case_file(flow.located, flow.profile.queries.canonical)),
            "tools": flow.tools,
            "corpus": flow.corpus.key,
            "environment": numeric_environment(),
            "code": code_of(*SCORING),
        }
        disk_gb = self._log_probabilities_gb() if is_reference else 0.0
        return Step("scores", 1, inputs, make, disk_gb=disk_gb, note=rung.name)

    @cached_property
    def sizes(self) -> Step:
        """What every width would take in either recipe."""
        flow = self.flow

        def make(out: Path) -> None:
            from phase8.engine.fuse.sizes import recipe_sizes

            found = recipe_sizes(flow.path(flow.base), flow.path(flow.adapter), self.widths, self.fuse.group_size)
            (out / SIZES).write_text(RecipeSizes(widths=tuple(found)).model_dump_json(indent=1), encoding="utf-8")

        versions = {name: metadata.version(name) for name in ("mlx", "mlx-lm")}
        asked = {"widths": self.widths, "group_size": self.fuse.group_size}
        return Step("sizes", 1, {"base": flow.base.key, "adapter": flow.adapter.key, **asked, **versions}, make)

    def fused_steps(self, only: Sequence[str] = ()) -> list[Step]:
        """Every fused folder that the ladder needs."""
        folders = [rung.folder for rung in self.needed(only) if rung.kind in ("fused", "zero")]
        return list({step.key: step for step in folders if isinstance(step, Step)}.values())

    def survived(self, rung: Variant) -> Step:
        """A fused folder against its base and adapter: are its codes right (if judged), what is left of the delta."""
        flow = self.flow
        inputs = {
            "base": flow.base.key,
            "adapter": flow.adapter.key,
            "folder": rung.folder.key,
            "judged": rung in self.judged(),
            "environment": numeric_environment(),
            "code": code_of(*CHECKING),
        }
        return Step("survived", 3, inputs, lambda out: self._check([(rung, out)]), note=rung.name)

    def survived_together(self, only: Sequence[str] = ()) -> dict[str, Path]:
        """The artefacts of ``survived`` by rung; the missing ones are made in one pass over base and adapter."""
        rungs = {self.survived(rung).key: rung for rung in self._checked(only)}
        steps = [self.survived(rung) for rung in rungs.values()]
        made = self.flow.store.ensure_all(steps, lambda outs: self._check([(rungs[s.key], out) for s, out in outs]))
        return dict(zip((rung.name for rung in rungs.values()), made, strict=True))

    def _checked(self, only: Sequence[str]) -> list[Variant]:
        """Judged rungs and control widths: the float reference and the other recipe are only compared with."""
        widths = {f"fused-{bits}bit" for bits in self.widths} | {rung.name for rung in self.judged()}
        return [rung for rung in self.needed(only) if rung.name in widths]

    def _check(self, outs: Sequence[tuple[Variant, Path]]) -> None:
        from phase8.engine.fuse.requested_target import not_as_asked
        from phase8.engine.integrity.check import integrity
        from phase8.engine.integrity.delta_stats import delta_stats

        base, adapter = self.flow.path(self.flow.base), self.flow.path(self.flow.adapter)
        judged = [(rung, out) for rung, out in outs if rung in self.judged()]
        coded = [(rung, out) for rung, out in outs if rung.bits is not None]
        found = integrity(base, adapter, self._folders(judged), self.flow.store.hashes) if judged else []
        asked = [(self._target(rung.bits), self.flow.path(rung.folder)) for rung, _ in judged]
        others = not_as_asked(base, adapter, asked) if judged else []
        for one, other, (_, out) in zip(found, others, judged, strict=True):
            one = one.model_copy(update={"settings": (*one.settings, *other)})
            (out / INTEGRITY).write_text(one.model_dump_json(indent=1), encoding="utf-8")
        left = delta_stats(base, adapter, self._folders(coded)) if coded else []
        for stats, (_, out) in zip(left, coded, strict=True):
            (out / DELTA).write_text(stats.model_dump_json(indent=1), encoding="utf-8")

    def _folders(self, outs: Sequence[tuple[Variant, Path]]) -> list[Path]:
        return [self.flow.path(rung.folder) for rung, _ in outs]

    def steps(self, only: Sequence[str] = ()) -> list[Source]:
        """The ladder's artefacts in the order they are built, beside those of the flow."""
        rungs = self.needed(only)
        if not rungs:
            return []
        ordered = sorted(rungs, key=lambda rung: rung.name != self.reference.variant.name)
        scores = [self.scores(rung) for rung in ordered]
        checked = [self.survived(rung) for rung in self._checked(only)]
        sizes = [self.sizes] if self.other_recipe in rungs else []
        return [self.flow.zero, *self.fused_steps(only), *sizes, *scores, *checked]

    @cached_property
    def work(self) -> "Work":
        """What is scored, as tokens of the base's tokenizer, which every rung shares."""
        from phase8.engine.score.rows import prepare

        flow, profile = self.flow, self.flow.profile
        split = flow.path(flow.corpus) / "test.jsonl"
        return prepare(flow.path(flow.base), split, flow.cases(), profile.prompting, flow.tools, self.settings.rows)

    def _target(self, bits: int | None) -> Target:
        return target(bits, self.fuse.group_size, self.fuse.recipe)

    def _fused(self, name: str, adapter: Source, wanted: Target) -> Variant:
        folder = self.flow.fused_from(adapter, wanted)
        kind = "zero" if name.startswith("zero") else "fused"
        group = None if wanted.bits is None else wanted.group_size
        return Variant(name, self.flow.profile.role(name), kind, folder, None, wanted.bits, group)

    def _log_probabilities_gb(self) -> float:
        """Float32 for each scored token and word of the vocabulary; tokens and large vocabularies are guessed."""
        corpus, base = self.flow.profile.corpus, self.flow.profile.base
        rows = self.settings.rows or round(0.1 * getattr(corpus, "examples", 700))
        written = getattr(corpus, "call_tokens", 100) + getattr(corpus, "answer_tokens", 100)
        words = base.vocabulary if isinstance(base, PocketBase) else 50_000 if isinstance(base, GgufBase) else 152_000
        return rows * written * words * 4 / GB


def all_steps(flow: Flow, only: Sequence[str] = ()) -> list[Source]:
    """Every artefact of a run in the order they are built: the flow's, then the ladder's, each once."""
    ladder = SurvivalStage(flow).steps(only) if flow.profile.survival else []
    found = {source.key: source for source in [*flow.steps(list(only)), *ladder]}
    return list(found.values())
