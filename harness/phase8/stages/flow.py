"""The stages of one profile as steps: what each is made from, and how, in the order data flows.

A step's key needs nothing built and no MLX, so that a plan can name every artefact;
MLX is imported only when a step is made.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from phase8.cases.cases import Case, canonical_cases, find_case_file, held_out_cases, probe_cases
from phase8.cases.jobs import AuditWork, Work
from phase8.core.artefact import Step, code_of
from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import file_sha256
from phase8.core.machine import numeric_environment
from phase8.profile.sections import MinedCorpus, PocketBase
from phase8.profile.terms import Role, canonical_name
from phase8.record.run import ProbeRecord, Reply, TrainingRecord
from phase8.stages.external import External, external_folder
from phase8.stages.fused import FusedSteps
from phase8.stages.training import Source

# What decides a reply beside its inputs: a change of it, in another commit say, is asked anew.
ASKING = (
    *(f"chat/{name}.py" for name in ("conversation", "formats", "jsonl", "parsing", "tool_schemas")),
    *(f"cases/{name}.py" for name in ("cases", "replies")),
    "core/same_query.py",
    *(f"engine/{name}.py" for name in ("arrays", "fuse/kernels", "generate/batched", "generate/replies")),
    *(f"engine/load/{name}.py" for name in ("chat", "models", "template", "tokenizer")),
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


class Flow(FusedSteps):
    """The steps of one profile, each found in the store or built there."""

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
            from phase8.engine.generate.replies import evaluate

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
