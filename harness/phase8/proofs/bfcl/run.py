"""Score one variant on the outside benchmark: ask it once, keep its replies, judge and count. Nothing is gated."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from phase8.cases.benchmark import CATEGORIES, AskedBatch, BenchmarkReply, Category
from phase8.cases.cases import system_message
from phase8.chat.formats import Call
from phase8.core.artefact import Step, digest
from phase8.core.errors import InvalidInput
from phase8.core.git import commit
from phase8.core.machine import Machine, numeric_environment, replies_on, this_machine
from phase8.core.values import Frozen
from phase8.profile.sections import Prompting
from phase8.profile.terms import Role
from phase8.proofs.bfcl.items import DISTRIBUTION, Benchmark, Item
from phase8.proofs.bfcl.scoring import Decision, judge
from phase8.record.run import Finish
from phase8.report.rows import Proportion
from phase8.stages.flow import Flow, Variant

PREFERRED = "fused-5bit"
_LEAST_TOKENS = 96  # profiles cut replies at the length of their own calls; some calls of the benchmark are longer


class Scored(Frozen):
    """One item, what was said to it, and the verdict on call against no call and on the call itself."""

    category: Category
    id: str
    prompt: tuple[dict[str, Any], ...]
    prompt_tokens: int
    reply: str
    reply_tokens: int
    finish: Finish
    calls: tuple[Call, ...]
    decision: Decision
    verdict: Literal["right", "wrong"]
    match: bool | None
    reason: str | None
    kind: str | None


class Figures(Frozen):
    """One category: right decisions, right calls (None where none is wanted), kinds of misses, seconds of asking."""

    category: Category
    decided: Proportion
    matched: Proportion | None
    misses: dict[str, int]
    seconds: float


class Report(Frozen):
    """What ``bfcl.json`` holds."""

    schema_version: Literal[1] = 1
    profile: str
    variant: str
    role: Role
    artefact: str
    replies_artefact: str
    replies_on: str
    distribution: str = DISTRIBUTION
    distribution_version: str | None
    data: dict[str, str]
    prompting: Prompting
    max_tokens: int
    machine: Machine
    environment: dict[str, str]
    commit: str | None
    dirty: bool | None
    figures: tuple[Figures, ...]
    items: tuple[Scored, ...]


def default_variant(flow: Flow) -> str:
    """The variant that is asked where none is named: a production one without live adapter, best the 5-bit model."""
    variants = flow.variants()
    production = [v.name for v in variants if v.role == "production" and v.kind != "adapter"]
    return PREFERRED if PREFERRED in production else [*production, *(v.name for v in variants)][0]


def measure(flow: Flow, variant: Variant, benchmark: Benchmark) -> Report:
    """Ask a variant what it has not been asked yet, and judge its replies.

    Raises:
        InvalidInput: the profile's prompts have no place for an item's functions, or the variant cannot be built.
    """
    step = replies_step(flow, variant, benchmark)
    asked = read_batches(flow.store.ensure(step))
    replies = {reply.id: reply for batch in asked for reply in batch.replies}
    items = tuple(score(item, replies[item.id], flow.profile.prompting) for item in benchmark.items)
    seconds = {category: sum(b.seconds for b in asked if b.category == category) for category in CATEGORIES}
    head, dirty = commit()
    return Report(
        profile=flow.profile.name,
        variant=variant.name,
        role=variant.role,
        artefact=variant.key,
        replies_artefact=step.key,
        replies_on=replies_on(),
        distribution_version=benchmark.version,
        data=benchmark.files,
        prompting=flow.profile.prompting,
        max_tokens=longest_reply(flow.profile.prompting),
        machine=this_machine(),
        environment=numeric_environment(),
        commit=head,
        dirty=dirty,
        figures=tuple(figures(category, items, seconds[category]) for category in CATEGORIES),
        items=items,
    )


def replies_step(flow: Flow, variant: Variant, benchmark: Benchmark) -> Step:
    """The replies of one variant to the items, greedy, on the fastest weights of the same values; resumed by batch."""
    prompting = flow.profile.prompting
    if "{tools}" not in prompting.system:
        raise InvalidInput(
            f"{flow.located.path}: prompting.system is {prompting.system!r}: without {{tools}} in it the model cannot "
            "be told of an item's functions. Add it, or name another profile"
        )
    prompts = {
        category: {i.id: conversation(i, prompting) for i in benchmark.items if i.category == category}
        for category in CATEGORIES
    }

    def make(out: Path) -> None:
        from phase8.engine.generate.benchmark import ask

        adapter = flow.path(variant.adapter) if variant.adapter else None
        ask(flow.path(variant.folder), adapter, prompts, prompting.stop_sequences, longest_reply(prompting), out)

    inputs = {
        "variant": variant.key,
        "prompts": digest(prompts),
        "stop_sequences": list(prompting.stop_sequences),
        "max_tokens": longest_reply(prompting),
        "environment": numeric_environment(),
    }
    return Step("bfcl", 1, inputs, make, note=variant.name, resumable=True)


def conversation(item: Item, prompting: Prompting) -> list[dict[str, Any]]:
    """The item's question after the profile's system message, which describes the item's functions."""
    return [*system_message(prompting, list(item.tools)), *item.messages]


def longest_reply(prompting: Prompting) -> int:
    """The tokens that a reply may have."""
    return max(prompting.max_tokens, _LEAST_TOKENS)


def read_batches(artefact: Path) -> list[AskedBatch]:
    """The batches of a replies artefact."""
    files = [path for category in CATEGORIES for path in sorted(artefact.glob(f"{category}-*.json"))]
    return [AskedBatch.model_validate_json(path.read_text(encoding="utf-8")) for path in files]


def score(item: Item, reply: BenchmarkReply, prompting: Prompting) -> Scored:
    """One item with its reply and the verdict."""
    judged = judge(item, reply.text, reply.finish, prompting)
    return Scored(
        category=item.category,
        id=item.id,
        prompt=tuple(conversation(item, prompting)),
        prompt_tokens=reply.prompt_tokens,
        reply=reply.text,
        reply_tokens=reply.tokens,
        finish=reply.finish,
        calls=judged.calls,
        decision=judged.decision,
        verdict="right" if judged.correct else "wrong",
        match=judged.matched,
        reason=str(judged.miss) if judged.miss else None,
        kind=judged.miss.kind if judged.miss else None,
    )


def figures(category: Category, items: Sequence[Scored], seconds: float) -> Figures:
    """The shares of one category, each with its Clopper-Pearson interval, and how often it missed in which way."""
    own = [item for item in items if item.category == category]
    matches = [item.match for item in own if item.match is not None]
    return Figures(
        category=category,
        decided=Proportion.of(sum(item.verdict == "right" for item in own), len(own)),
        matched=Proportion.of(sum(matches), len(matches)) if matches else None,
        misses=dict(Counter(item.kind for item in own if item.kind is not None).most_common()),
        seconds=round(seconds, 2),
    )
