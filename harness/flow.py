"""The stages of one profile as steps: what each is made from, and how, in the order data flows.

A step's key needs nothing built and no MLX, so that a plan can name every artefact;
MLX is imported only when a step is made.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from harness.blas import SMALL
from harness.cases import Case, canonical_cases, find_case_file, held_out_cases, probe_cases, read_tools
from harness.corpus_stage import build_corpus, build_pool, corpus_inputs, pool_inputs
from harness.errors import InvalidInput
from harness.external import External, external_folder
from harness.formats import Tools
from harness.fusing import Target
from harness.machine import numeric_environment
from harness.profile import GgufBase, Located, MinedCorpus, PocketBase, Profile, Role, canonical_name
from harness.record import ProbeRecord, Reply, TrainingRecord
from harness.store import Step, Store, code_of, file_sha256, free_gb_needed
from harness.work import AuditWork, Work

Source = Step | External

# What decides a reply beside its inputs: a change of it, in another commit say, is asked anew.
ASKING = (
    *(f"engine/{name}.py" for name in ("arrays", "chat", "evaluate", "generate", "kernels", "models")),
    *(f"engine/{name}.py" for name in ("template", "tokenizer")),
    *(f"{name}.py" for name in ("cases", "conversation", "formats", "parsing", "replies", "rows", "same_query")),
    "schemas.py",
)
# What decides the bytes of a fused folder. Training has no such list, since a retrained 30 B takes hours: whoever
# changes what it computes raises the step's version.
FUSING = (
    *(f"engine/{name}.py" for name in ("arrays", "blocks", "fuse", "kernels", "merge", "models", "onepass")),
    *(f"engine/{name}.py" for name in ("recipe", "shards", "tokenizer", "weights")),
    *("fusing.py", "model_files.py"),
)


@dataclass(frozen=True)
class Variant:
    """Anything that answers a prompt: a model folder, maybe with a live adapter."""

    name: str
    role: Role
    kind: str
    folder: Source
    adapter: Source | None = None
    bits: int | None = None
    group_size: int | None = None

    @property
    def key(self) -> str:
        """The hash that stands for this variant's weights."""
        return "+".join(source.key for source in (self.folder, self.adapter) if source)


class Flow:
    """The steps of one profile, each found in the store or built there."""

    def __init__(self, located: Located, store: Store) -> None:
        self.located = located
        self.store = store

    @property
    def profile(self) -> Profile:
        """The profile."""
        return self.located.profile

    @cached_property
    def tools(self) -> Tools:
        """The tool schemas the models are told of."""
        return read_tools(self.located)

    def path(self, source: Source) -> Path:
        """Where a source is, building it first if need be."""
        return source.path() if isinstance(source, External) else self.store.ensure(source)

    @cached_property
    def pool(self) -> Step:
        """Candidate examples mined from the installed distributions."""
        corpus = self.profile.corpus
        assert isinstance(corpus, MinedCorpus)
        return Step("pool", 2, pool_inputs(self.located), lambda out: build_pool(self.located, out))

    @cached_property
    def tokenizer(self) -> Source:
        """The folder with the tokenizer: the base's own, or one trained on the pool."""
        base = self.profile.base
        if not isinstance(base, PocketBase):
            return self.base

        def make(out: Path) -> None:
            from harness.corpus_stage import call_marks, pool_texts
            from harness.engine.pocket import train_tokenizer

            pool = self.path(self.pool)
            marks = call_marks(pool, self.profile.prompting.format)
            train_tokenizer(pool_texts(self.located, pool), base.vocabulary, out, marks)

        inputs = {
            "vocabulary": base.vocabulary,
            "pool": self.pool.key,
            "format": self.profile.prompting.format,
            "tokenizers": metadata.version("tokenizers"),
        }
        return Step("tokenizer", 2, inputs, make)

    @cached_property
    def base(self) -> Source:
        """The model that training starts from."""
        base = self.profile.base
        if base is None:
            raise InvalidInput(f"{self.located.path}: [base] is missing")
        if isinstance(base, GgufBase):
            return self._gguf_base(base)
        if isinstance(base, PocketBase):
            return self._pocket_base(base)
        return external_folder(self.located, base.model, self.store.hashes)

    def _gguf_base(self, base: GgufBase) -> Step:
        def make(out: Path) -> None:
            from harness.engine.gguf import convert_wheel

            convert_wheel(base.distribution, out)

        try:
            version = metadata.version(base.distribution)
        except metadata.PackageNotFoundError:
            version = "not installed"
        inputs = {"distribution": base.distribution, "version": version, "mlx": metadata.version("mlx")}
        return Step("base", 1, inputs, make, disk_gb=free_gb_needed(base.parameters, 6.0))

    def _pocket_base(self, base: PocketBase) -> Step:
        def make(out: Path) -> None:
            from harness.corpus_stage import answering_rows
            from harness.engine.pocket import train_base

            tokenizer, corpus = self.path(self.tokenizer), self.path(self.corpus)
            train_base(base, tokenizer, answering_rows(self.located, corpus, tokenizer), out)

        inputs = {
            "base": base.model_dump(mode="json"),
            "tokenizer": self.tokenizer.key,
            "corpus": self.corpus.key,
            "environment": self._training_environment(),
        }
        return Step("base", 12, inputs, make, disk_gb=0.1)

    @cached_property
    def corpus(self) -> Step:
        """Training, validation and held-out rows."""
        if self.profile.corpus is None:
            raise InvalidInput(f"{self.located.path}: [corpus] is missing, so there is nothing to train on")
        mined = isinstance(self.profile.corpus, MinedCorpus)
        upstream = {"pool": self.pool.key, "tokenizer": self.tokenizer.key} if mined else {}
        inputs = corpus_inputs(self.located, self.tools) | upstream

        def make(out: Path) -> None:
            folders = (self.path(self.pool), self.path(self.tokenizer)) if mined else None
            build_corpus(self.located, self.tools, folders, out)

        return Step("corpus", 3 if mined else 4, inputs, make)  # own files: held-out queries are compared by more

    @cached_property
    def probe(self) -> Step:
        """The rung of the ladder that training fits on."""
        training = self.profile.training
        assert training is not None

        def make(out: Path) -> None:
            from harness.engine.probe import probe
            from harness.engine.rows import read_split

            base, prompting = self.path(self.base), self.profile.prompting
            probe(base, training, read_split(base, self.path(self.corpus) / "train.jsonl", prompting), out)

        return Step("probe", 2, self._training_inputs(), make)

    @cached_property
    def adapter(self) -> Source:
        """The LoRA adapter, trained here or brought along."""
        training = self.profile.training
        if self.profile.adapter:
            return external_folder(self.located, self.profile.adapter.path, self.store.hashes)
        assert training is not None

        def make(out: Path) -> None:
            from harness.engine.rows import read_split
            from harness.engine.train import train_adapter
            from harness.ladder import Rung

            rung = Rung.model_validate_json((self.path(self.probe) / "rung.json").read_text())
            base, corpus, prompting = self.path(self.base), self.path(self.corpus), self.profile.prompting
            rows, valid = (read_split(base, corpus / f"{split}.jsonl", prompting) for split in ("train", "valid"))
            train_adapter(base, training, rung, rows, valid, out)

        return Step("adapter", 6, self._training_inputs() | {"probe": self.probe.key}, make, resumable=True)

    def _training_inputs(self) -> dict:
        assert self.profile.training is not None
        return {
            "training": self.profile.training.model_dump(mode="json"),
            "stop_sequences": list(self.profile.prompting.stop_sequences),
            "base": self.base.key,
            "corpus": self.corpus.key,
            "environment": self._training_environment(),
        }

    def _training_environment(self) -> dict[str, str]:
        """A model that is small beyond doubt trains on one thread, however many the run has."""
        parameters = getattr(self.profile.base, "parameters", None)
        small = parameters is not None and parameters < SMALL / 2
        return numeric_environment(one_thread=small) | ({"batches": "in halves"} if small else {})

    def fused(self, bits: int | None) -> Step:
        """Base and adapter fused, at ``bits`` bits or as floats.

        Raises:
            InvalidInput: the profile does not fuse, or not at this width.
        """
        fuse = self.profile.fuse
        allowed = list(fuse.widths) if fuse else []
        if fuse is None or (bits is not None and bits not in allowed):
            listed = ", ".join(map(str, allowed)) or "none"
            raise InvalidInput(f"{self.located.path}: width {bits} is not in fuse.widths: {listed}. Add it there.")

        return self.fused_from(self.adapter, Target(bits=bits, group_size=fuse.group_size, recipe=fuse.recipe))

    @cached_property
    def zero(self) -> Step:
        """An adapter like the profile's whose delta is nothing: fused, it is the zero-delta control."""

        def make(out: Path) -> None:
            from harness.engine.zero import zero_adapter

            zero_adapter(self.path(self.base), self.path(self.adapter), out)

        return Step(
            "zero", 1, {"base": self.base.key, "adapter": self.adapter.key, "mlx": metadata.version("mlx")}, make
        )

    def fused_from(self, adapter: Source, wanted: Target) -> Step:
        """The base fused with one adapter at one target, whatever the profile asks for."""

        def make(out: Path) -> None:
            self._fuse(adapter, [(wanted, out)])

        inputs = {
            **wanted.model_dump(),
            "base": self.base.key,
            "adapter": adapter.key,
            "environment": numeric_environment(),
            "code": code_of(*FUSING),
        }
        parameters = getattr(self.profile.base, "parameters", None) or 0
        recipe = self.profile.fuse.recipe if self.profile.fuse else None
        note = str(wanted) + ("" if wanted.recipe == recipe else f", {wanted.recipe}")
        note += "" if adapter.key == self.adapter.key else ", zero delta"
        per_weight = 16.0 if wanted.bits is None else wanted.bits + 32 / wanted.group_size
        return Step("fused", 2, inputs, make, disk_gb=free_gb_needed(parameters, per_weight), note=note)

    def fused_together(self, steps: Sequence[Step]) -> list[Path]:
        """The folders of several ``fused`` steps; the missing ones are built in one pass over the base an adapter."""

        def make(outs: Sequence[tuple[Step, Path]]) -> None:
            for adapter in (self.adapter, self.zero):
                made = [(step, out) for step, out in outs if step.inputs["adapter"] == adapter.key]
                wanted = [(Target(**{k: step.inputs[k] for k in Target.model_fields}), out) for step, out in made]
                if wanted:
                    self._fuse(adapter, wanted)

        return self.store.ensure_all(steps, make)

    def _fuse(self, adapter: Source, wanted: Sequence[tuple[Target, Path]]) -> None:
        from harness.engine.fuse import fuse as fuse_adapter

        fuse_adapter(self.path(self.base), self.path(adapter), wanted)

    def content(self, variant: Variant) -> str:
        """The hash of a built variant's files: the same where other code made the same bytes."""
        sources = [source for source in (variant.folder, variant.adapter) if source]
        return "+".join(s.key if isinstance(s, External) else self.store.content(s) for s in sources)

    def variants(self) -> list[Variant]:
        """Every variant of the profile, in the order of the flow."""
        profile, found = self.profile, []
        if profile.base:
            found.append(Variant("base", profile.role("base"), "base", self.base))
        if profile.training or profile.adapter:
            found.append(Variant("adapter", profile.role("adapter"), "adapter", self.base, self.adapter))
        if profile.fuse:
            widths: list[int | None] = [None] if profile.fuse.keep_float else []
            for bits in [*widths, *sorted(profile.fuse.widths, reverse=True)]:
                name = "fused-float" if bits is None else f"fused-{bits}bit"
                group = None if bits is None else profile.fuse.group_size
                found.append(Variant(name, profile.role(name), "fused", self.fused(bits), None, bits, group))
        for model in profile.models:
            folder = external_folder(self.located, model.path, self.store.hashes)
            found.append(Variant(model.name, model.role, "ready", folder))
        return found

    def variant(self, name: str) -> Variant:
        """One variant by name or alias.

        Raises:
            InvalidInput: the profile has no such variant.
        """
        for variant in self.variants():
            if variant.name == canonical_name(name):
                return variant
        listed = ", ".join(self.profile.variant_names())
        raise InvalidInput(f"{self.located.path}: unknown variant {name!r}. This profile has: {listed}")

    def named(self, names: Sequence[str]) -> list[str]:
        """The variants of these names or aliases, each once; all of the profile's where none is named.

        Raises:
            InvalidInput: the profile has no such variant.
        """
        return list(dict.fromkeys(self.variant(name).name for name in names)) or self.profile.variant_names()

    def cases(self) -> list[Case]:
        """Every prompt that the variants are judged on."""
        cases = canonical_cases(self.located, self.tools)
        if self.profile.corpus:
            held_out = self.path(self.corpus) / "test.jsonl"
            count = self.profile.queries.second_turns
            cases += held_out_cases(held_out, self.profile.prompting.format, self.tools, count)
        return cases + probe_cases(self.located, self.tools)

    def replies(self, variant: Variant) -> Step:
        """The replies of one variant to every case, greedy, on the fastest weights of the same values."""

        def make(out: Path) -> None:
            from harness.engine.evaluate import evaluate

            adapter = self.path(variant.adapter) if variant.adapter else None
            evaluate(self.path(variant.folder), adapter, self.cases(), self.profile.prompting, self.tools, out)

        queries = self.profile.queries
        inputs = {
            "variant": variant.key,
            "prompting": self.profile.prompting.model_dump(mode="json"),
            "queries": queries.model_dump(mode="json"),
            "canonical": file_sha256(find_case_file(self.located, queries.canonical)),
            "probes": file_sha256(find_case_file(self.located, queries.probes)) if queries.probes else None,
            "tools": self.tools,
            "corpus": self.corpus.key if self.profile.corpus else None,
            "environment": numeric_environment(),
            "code": code_of(*ASKING),
            "jsonschema": metadata.version("jsonschema"),  # whether arguments fit their tool's schema
        }
        return Step("replies", 6, inputs, make, note=variant.name)

    def work(self, variant: Variant, replies: Sequence[Reply]) -> Work:
        """What is measured of one variant as shipped, and the replies that its kernels are to give too."""
        return Work(
            folder=self.path(variant.folder),
            adapter=self.path(variant.adapter) if variant.adapter else None,
            cases=tuple(canonical_cases(self.located, self.tools)),
            prompting=self.profile.prompting,
            tools=self.tools,
            latency=self.profile.latency,
            judged=tuple(reply for reply in replies if reply.suite == "canonical"),
        )

    def audit_work(self, variant: Variant, cases: Sequence[Case], replies: Sequence[Reply]) -> AuditWork:
        """What is audited of one variant: its canonical queries and some held-out first turns, evenly spread.

        Raises:
            InvalidInput: one of them has no reply.
        """
        canonical = [case for case in cases if case.suite == "canonical" and case.turn == 1]
        held_out = [case for case in cases if case.suite == "held-out" and case.turn == 1]
        count = min(self.profile.audit.held_out, len(held_out))
        chosen = [*canonical, *(held_out[i * len(held_out) // count] for i in range(count))]
        given = {(reply.suite, reply.turn, reply.case): reply for reply in replies}
        if lacking := [case.id for case in chosen if (case.suite, case.turn, case.id) not in given]:
            raise InvalidInput(f"{variant.name}: no reply to {', '.join(lacking)}. Ask again: `harness replies`")
        return AuditWork(
            folder=self.path(variant.folder),
            adapter=self.path(variant.adapter) if variant.adapter else None,
            cases=tuple(chosen),
            judged=tuple(given[case.suite, case.turn, case.id] for case in chosen),
            timed=frozenset(case.id for case in canonical),
            prompting=self.profile.prompting,
            tools=self.tools,
            audit=self.profile.audit,
        )

    def steps(self, only: list[str] | None = None) -> list[Source]:
        """The artefacts of a run in the order they are built, for all variants or the named ones."""
        variants = [self.variant(name) for name in self.named(only or [])]
        found: list[Source] = []
        if isinstance(self.profile.corpus, MinedCorpus):
            found.append(self.pool)
        if isinstance(self.profile.base, PocketBase):
            found += [self.tokenizer, self.corpus, self.base]
        else:
            found += [self.base] if self.profile.base else []
            found += [self.corpus] if self.profile.corpus else []
        if self.profile.training and any(v.kind in ("adapter", "fused") for v in variants):
            found += [self.probe, self.adapter]
        if self.profile.adapter and any(v.kind in ("adapter", "fused") for v in variants):
            found.append(self.adapter)
        found += [v.folder for v in variants if v.kind == "fused" or v.kind == "ready"]
        return found + [self.replies(v) for v in variants]


def read_replies(artefact: Path) -> tuple[tuple[Reply, ...], dict]:
    """The replies of a replies artefact and what it says of the weights."""
    stored = json.loads((artefact / "replies.json").read_text(encoding="utf-8"))
    return tuple(Reply.model_validate(reply) for reply in stored.pop("replies")), stored


def read_training(artefact: Path) -> TrainingRecord | None:
    """How an adapter was trained; None for one that was brought along."""
    path = artefact / "training.json"
    return TrainingRecord.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_probe(artefact: Path) -> ProbeRecord:
    """What the probe found."""
    return ProbeRecord.model_validate_json((artefact / "probe.json").read_text(encoding="utf-8"))
