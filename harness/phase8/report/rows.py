"""One row a variant: the numbers of a run record as a person reads them. Pure; nothing is judged here."""

from collections.abc import Callable, Iterable
from statistics import fmean, median
from typing import Literal

from phase8.core.interval import Interval
from phase8.core.values import Frozen
from phase8.profile.terms import Role
from phase8.record.run import Reply, RunRecord, Samples, VariantRecord, Verdict
from phase8.record.view import (
    DECODE,
    PREFILL,
    QUERY,
    TTFT_COLD,
    TTFT_WARM,
    MemoryReading,
    first_turns,
    judged_memory,
    verdicts_of,
)
from phase8.stats.proportions import clopper_pearson

RowVerdict = Literal[
    "FAIL",
    "CONTROL PASSED",
    "incomplete",
    "inconclusive",
    "xfail",
    "xpass",
    "pass",
    "control fails as it must",
    "not judged",
]


class Proportion(Frozen):
    """``successes`` of ``trials`` with the exact 95 % interval of the share."""

    successes: int
    trials: int
    interval: Interval

    @classmethod
    def of(cls, successes: int, trials: int) -> "Proportion":
        """The proportion with its interval; ValueError without trials."""
        return cls(successes=successes, trials=trials, interval=clopper_pearson(successes, trials))

    @property
    def share(self) -> float:
        """The share itself, between 0 and 1."""
        return self.successes / self.trials


class Measure(Frozen):
    """A mean or median in the unit of its samples."""

    value: float
    unit: str
    samples: int


class Row(Frozen):
    """One variant; None is a measurement that the record does not hold."""

    variant: str
    role: Role
    bits_per_weight: float | None = None
    size_bytes: int | None = None
    canonical: Proportion | None = None
    held_out: Proportion | None = None
    probes: Proportion | None = None
    over_calls: Proportion | None = None
    under_calls: Proportion | None = None
    malformed: Proportion | None = None
    query: Measure | None = None
    decode: Measure | None = None
    prefill: Measure | None = None
    ttft_cold: Measure | None = None
    ttft_warm: Measure | None = None
    memory: MemoryReading | None = None
    verdict: RowVerdict


def rows(record: RunRecord) -> list[Row]:
    """One row a variant in the order of the record, then one for each name that only a verdict mentions."""
    measured = [_row(variant, verdicts_of(record, variant.name)) for variant in record.variants]
    named = {row.variant for row in measured}
    only_judged = {verdict.variant: verdict.role for verdict in record.verdicts if verdict.variant not in named}
    return measured + [
        Row(variant=name, role=role, verdict=row_verdict(role, verdicts_of(record, name)))
        for name, role in only_judged.items()
    ]


def row_verdict(role: Role, verdicts: Iterable[Verdict]) -> RowVerdict:
    """One word for all verdicts on a variant: the worst of them.

    For a control ``fail`` and ``xpass`` say that it got through, ``pass`` and ``xfail`` that it was caught.
    """
    found = {verdict.status for verdict in verdicts}
    if role == "control" and found & {"fail", "xpass"}:
        return "CONTROL PASSED"
    if "fail" in found:
        return "FAIL"
    if "missing" in found:
        return "incomplete"
    if role == "control" and found & {"pass", "xfail"}:
        return "control fails as it must"
    order: tuple[Literal["xfail", "inconclusive", "xpass", "pass"], ...] = ("xfail", "inconclusive", "xpass", "pass")
    return next((status for status in order if status in found), "not judged")


def _row(variant: VariantRecord, verdicts: list[Verdict]) -> Row:
    held_out = first_turns(variant, "held-out")
    direct = [reply for reply in held_out if reply.label == "direct"]
    tool = [reply for reply in held_out if reply.label == "tool"]
    return Row(
        variant=variant.name,
        role=variant.role,
        bits_per_weight=variant.bits_per_weight,
        size_bytes=variant.size_bytes,
        canonical=_proportion(first_turns(variant, "canonical"), lambda reply: reply.correct),
        held_out=_proportion(held_out, lambda reply: reply.correct),
        probes=_proportion(first_turns(variant, "probe"), lambda reply: reply.correct),
        over_calls=_proportion(direct, lambda reply: reply.decision in ("call", "malformed")),
        under_calls=_proportion(tool, lambda reply: reply.decision in ("answer", "empty")),
        malformed=_proportion(held_out, lambda reply: reply.decision == "malformed"),
        query=_measure(variant.latency.get(QUERY), fmean),
        decode=_measure(variant.latency.get(DECODE), median),
        prefill=_measure(variant.latency.get(PREFILL), median),
        ttft_cold=_measure(variant.latency.get(TTFT_COLD), median),
        ttft_warm=_measure(variant.latency.get(TTFT_WARM), median),
        memory=judged_memory(variant, verdicts),
        verdict=row_verdict(variant.role, verdicts),
    )


def _proportion(replies: list[Reply], counts: Callable[[Reply], bool]) -> Proportion | None:
    if not replies:
        return None
    return Proportion.of(sum(counts(reply) for reply in replies), len(replies))


def _measure(samples: Samples | None, summary: Callable[[tuple[float, ...]], float]) -> Measure | None:
    if samples is None or not samples.values:
        return None
    return Measure(value=summary(samples.values), unit=samples.unit, samples=len(samples.values))
