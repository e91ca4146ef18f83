"""What differences between a folder's codes and the right ones mean: pure judgement on counts and sums.

Rounding is told from loss. Another BLAS, device or dtype sums W + delta to other floats, and what those may be is
bounded (``engine.integrity.arithmetic``), and so are the codes, scales and biases that a quantiser may make of them
(``engine.fuse.quantisers``). Differences are called rounding only where every code, scale and bias of a module is
within the bounds of one arithmetic, and they are not at the delta's expense: they take or add at most a hundredth of
what the delta changed in the codes, and do not all go its way or all against it (two-sided sign test). A delta that is
lost or weakened fails that, however small it is: what differs then is what the delta had changed. Where codes are the
base's without the adapter, the adapter is missing, before anything else is asked.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from phase8.record.integrity import WORST_FIRST, Outcome

MOST_SHORT = 0.01  # of what the delta changed in the codes: more is not called rounding
MOST_LEFT = 0.01  # of the codes that the delta changed, and of the delta: with less there, the adapter is missing
UNLIKELY = 1e-6  # a sign test below it: the differences go one way

Fields = dict[str, Any]


class By(NamedTuple):
    """The arithmetic that a folder is judged by; ``here`` is that of this process, but for the order of sums."""

    arithmetic: str
    here: bool = True


class Worst(NamedTuple):
    """The largest difference: in quantisation steps (floats in units of the last place), and of scales and biases."""

    steps: float
    ulps: float


class Effect(NamedTuple):
    """Sums over the weights of a module or an expert, of two things: the delta, and what changed.

    What changed is the value in the folder less the zero-delta control's, deq Q(W + delta) - deq Q(W).
    """

    weights: float
    changed: float
    product: float
    energy: float
    delta: float
    change_sum: float
    delta_sum: float
    step_sum: float

    @property
    def step(self) -> float:
        """The mean quantisation step; 0 where codes have no common one."""
        return self.step_sum / self.weights

    @property
    def share(self) -> float | None:
        """The least-squares share of the delta in what changed; None without a delta."""
        return self.product / self.delta if self.delta else None

    @property
    def correlation(self) -> float | None:
        """Pearson's, None where either side is constant."""
        change = self.energy - self.change_sum**2 / self.weights
        wanted = self.delta - self.delta_sum**2 / self.weights
        if change <= 0 or wanted <= 0:
            return None
        return (self.product - self.change_sum * self.delta_sum / self.weights) / math.sqrt(change * wanted)


class Unlike(NamedTuple):
    """Counts and sums over one expert, or over a whole tensor, of a folder's codes against the right ones.

    ``differing`` codes, ``against`` and ``along`` the delta; ``scales`` and biases that differ. ``far`` are codes, and
    ``far_scales`` groups whose scale or bias, that rounding does not explain. ``short`` is the sum of
    (found - right) * delta, ``kept`` of (right - control) * delta. ``lost`` counts right codes that are not the
    control's, ``lost_scales`` the folder's scales that are not, ``own`` its codes and scales that are not the base's.
    """

    differing: float
    scales: float
    far: float
    far_scales: float
    short: float
    kept: float
    against: float
    along: float
    lost: float
    lost_scales: float
    own: float


def outcome_of(entry: Unlike, changed: Effect, by: By, *, kept: bool) -> Outcome:
    """What one expert or tensor is."""
    same = not entry.differing and not entry.scales
    if same and by.here:
        return "equal"
    if changed.delta and _is_missing(entry, changed):
        return "adapter missing"
    return "rounding" if same or _is_rounding(entry, changed, kept=kept) else "differs"


def _is_missing(entry: Unlike, changed: Effect) -> bool:
    """Whether the codes are the zero-delta control's or the base's own, or as good as the control's."""
    if entry.own == 0 or (changed.changed == 0 and entry.lost_scales == 0):
        return True
    share = changed.share or 0.0
    return changed.changed <= MOST_LEFT * entry.lost and abs(share) <= MOST_LEFT


def _is_rounding(entry: Unlike, changed: Effect, *, kept: bool) -> bool:
    """See the module's docstring."""
    if kept or entry.far or entry.far_scales:
        return False
    if not changed.delta:
        return True
    if not abs(entry.short) <= MOST_SHORT * entry.kept:  # not a number is not little
        return False
    sided = int(entry.against + entry.along)
    from scipy.stats import binomtest  # 0.5 s to import, not needed to collect tests

    return sided == 0 or binomtest(int(entry.against), sided).pvalue >= UNLIKELY


def describe(
    name: str, found: Sequence[tuple[Unlike, Effect]], worst: Worst, by: By, *, stack: bool, kept: bool
) -> Fields:
    """The fields of ``ModuleIntegrity`` for a tensor that differs.

    Args:
        name: the tensor's.
        found: the sums of each expert of a stack; of another tensor those of the whole.
        worst: the largest differences.
        by: the arithmetic that it is judged by.
        stack: whether it is a stack of experts.
        kept: whether the right codes are the base's own, which nobody rounds.
    """
    outcomes = [outcome_of(entry, changed, by, kept=kept) for entry, changed in found]
    share = Effect(*map(sum, zip(*(changed for _, changed in found), strict=True))).share
    outcome = next(outcome for outcome in WORST_FIRST if outcome in outcomes)
    share = share if share is not None and math.isfinite(share) else None
    missing = tuple(n for n, one in enumerate(outcomes) if one == "adapter missing") if stack else ()
    differing = tuple(n for n, one in enumerate(outcomes) if one != "equal") if stack else ()
    entries = [entry for entry, _ in found]
    return {
        "outcome": outcome,
        "differing": int(sum(entry.differing for entry in entries)),
        "scales_differing": int(sum(entry.scales for entry in entries)),
        "worst_steps": worst.steps if math.isfinite(worst.steps) else None,
        "worst_ulps": worst.ulps if math.isfinite(worst.ulps) else None,
        "experts_missing": missing,
        "experts_differing": differing,
        "delta_share": share,
        "arithmetic": by.arithmetic if outcome == "rounding" else "",
        "reason": _reason(outcome, name, share, entries, _where(missing or differing, stack, len(found)), worst, by),
    }


def _where(experts: Sequence[int], stack: bool, entries: int) -> str:
    """Which experts of a stack; nothing where all of them are meant."""
    return f" in {_experts(experts)} of {entries}" if stack and len(experts) < entries else ""


def _reason(
    outcome: Outcome,
    name: str,
    share: float | None,
    entries: Sequence[Unlike],
    where: str,
    worst: Worst,
    by: By,
) -> str:
    """Plain words."""
    if outcome == "equal":
        return ""
    if outcome == "adapter missing":
        return f"ADAPTER MISSING{where}: the codes are those of the base without the adapter"
    if outcome == "rounding":
        return f"rounding{where}: all within the bounds of {by.arithmetic}, nothing at the delta's expense"
    if not math.isfinite(worst.steps):
        return f"{name} differs{where}: values that are no numbers"
    if share is None:
        return f"{name} differs{where}: the adapter does not touch it"
    return f"differs{where}: {_strength(share, entries)}"


def _strength(share: float, entries: Sequence[Unlike]) -> str:
    """What a least-squares share of the delta means."""
    if not 0.9 <= share <= 1.1:
        return f"{share:.0%} of the delta is there"
    codes, scales = (int(sum(far)) for far in zip(*((one.far, one.far_scales) for one in entries), strict=True))
    if not codes and not scales:
        return f"the delta is there ({share:.0%}), and each difference could be rounding, but all go one way"
    return (
        f"the delta is there ({share:.0%}), but no BLAS, device or dtype rounds to {codes:,} of its codes and "
        f"the scales of {scales:,} groups: damaged, made of other floats, or quantised twice"
    )


def _experts(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"expert{'s' if len(numbers) > 1 else ''} {listed}"
