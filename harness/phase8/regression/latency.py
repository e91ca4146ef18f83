"""What blocks of A B B A say of a variant, as a finding of the merge gate. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from phase8.record.ab_blocks import BlockedLatency, QuantityVerdict
from phase8.regression.findings import Finding, Outcome

_REPLACED = (
    "the baseline's weights ({key}) are not here, both sides ran today's: "
    "this judges the code and the environment, not what the new weights cost; "
)
_WORST_FIRST: tuple[Outcome, ...] = ("regressed", "inconclusive", "fine")


class Timed(NamedTuple):
    """What was timed, and why the other variants were not, by name; ``failed`` says what must be mended first.

    ``why`` is for those that have no latency verdict, ``undecided`` for those that should have one and could not.
    ``replaced`` are those whose baseline weights are gone, by their keys: both sides ran today's.
    """

    blocked: tuple[BlockedLatency, ...]
    why: dict[str, str]
    failed: str = ""
    undecided: Mapping[str, str] = MappingProxyType({})
    replaced: Mapping[str, str] = MappingProxyType({})


def latency_finding(blocked: BlockedLatency, blocks: bool, replaced: str = "") -> Finding:
    """What the blocks of one variant say; ``replaced`` is the key of baseline weights that are gone, if they are."""
    slower = any(quantity.outcome == "regressed" for quantity in blocked.quantities)
    if blocked.why and (blocked.ended or not blocked.blocks):
        return Finding(check="latency", subject=blocked.variant, outcome="missing", detail=blocked.why, blocks=blocks)
    if blocked.why and not slower:
        return Finding(
            check="latency", subject=blocked.variant, outcome="inconclusive", detail=blocked.why, blocks=blocks
        )
    outcome = next(one for one in _WORST_FIRST if any(q.outcome == one for q in blocked.quantities))
    unknown = replaced and outcome == "fine"  # of the change as a whole: its own weights were never compared
    told = [q for q in blocked.quantities if q.outcome == outcome]
    worst = max(told, key=lambda q: q.ratio if outcome == "regressed" else q.high)
    dropped = sum(bool(block.dropped) for block in blocked.blocks)
    return Finding(
        check="latency",
        subject=blocked.variant,
        outcome="not judged" if unknown else outcome,
        detail=(_REPLACED.format(key=replaced) if replaced else "")
        + f"seconds over the baseline's, at most x {blocked.limit:g} allowed: {'; '.join(map(_told, told))}"
        + (f"; {dropped} of {len(blocked.blocks)} blocks dropped, the machine was disturbed" if dropped else ""),
        blocks=blocks and not unknown,
        baseline=worst.baseline_s,
        measured=worst.change_s,
        limit=worst.baseline_s * blocked.limit,
        unit="s",
        names=tuple(q.quantity for q in told),
    )


def _told(found: QuantityVerdict) -> str:
    p = f", p {found.adjusted_p:.2g} after Holm over {found.family}" if found.outcome != "fine" else ""
    return (
        f"{found.quantity} x {found.ratio:.3f} ({found.low:.3f}-{found.high:.3f}, {found.blocks} blocks, "
        f"each bound {1 - found.level:.1%}{p})"
    )
