"""How much of the fine-tuning's gain a fused model keeps: recovery, its interval, and whether that is enough. Pure.

R = (NLL of the base - NLL of the variant) / (NLL of the base - NLL of the reference), NLL being the mean over all
held-out assistant tokens, each token counting once. Absolute limits on a loss go stale with every new base; a share of
what was gained does not (llm-compressor gates on recovery in the same sense, on benchmark scores).
"""

from __future__ import annotations

from phase8.core.lazy_imports import np
from phase8.record.ladder import Estimate, Recovery, RecoveryOutcome
from phase8.record.scores import Scores
from phase8.stats.cluster_bootstrap import ratio


def recovery(
    variant: Scores, base: Scores, reference: Scores, zero: Scores | None, floor: float, live: Scores | None = None
) -> Recovery:
    """Judge one variant.

    Fine where the lower bound of the 95 % interval is at least ``floor``, regressed where the upper bound is below
    it, else inconclusive. Where the reference's own gain may be nothing (its interval reaches 0) there is nothing to
    divide by. A reference that has not kept ``floor`` of the live adapter's gain is no measure: against what is half
    lost already, another half would look whole. One that may have kept it, or not, is none either, and nothing is said.

    Args:
        variant: what is judged.
        base: what training started from.
        reference: the fused float model, or the live adapter in its place.
        zero: the zero-delta control of the same width, for the attribution.
        floor: the share that must be left.
        live: the live adapter, which the reference is measured by first; None where it is the reference.

    Raises:
        ValueError: the scores are not of the same rows.
    """
    clusters = token_groups(base)
    for other in (variant, reference, *(one for one in (zero, live) if one)):
        if other.file.rows != base.file.rows:
            raise ValueError("scores of different rows cannot be compared")
    gained, wanted = _gain(base, reference), _gain(base, live or reference)
    gain = estimate(wanted, np.ones(len(wanted)), clusters)
    if gain.interval is None or not gain.interval.low > 0:
        return Recovery(share=None, floor=floor, gain=gain, outcome="nothing to recover", attribution=None)
    kept = estimate(gained, wanted, clusters)
    if (reference_outcome := _outcome(kept, floor)) != "fine":
        lost: RecoveryOutcome = "reference lost" if reference_outcome == "regressed" else "reference not shown"
        return Recovery(share=kept, floor=floor, gain=gain, outcome=lost, attribution=None)
    if live is not None:
        gain = estimate(gained, np.ones(len(gained)), clusters)
    share = estimate(_gain(base, variant), gained, clusters)
    attribution = None
    if zero is not None and _gain(zero, reference).sum() > 0:
        attribution = estimate(_gain(zero, variant), _gain(zero, reference), clusters)
    return Recovery(share=share, floor=floor, gain=gain, outcome=_outcome(share, floor), attribution=attribution)


def token_groups(scores: Scores) -> np.ndarray:
    """The topic (N,) of every scored token."""
    return np.array([row.group for row in scores.file.rows])[scores.tokens.row]


def estimate(numerator: np.ndarray, denominator: np.ndarray, clusters: np.ndarray) -> Estimate:
    """A ratio of sums as it is recorded."""
    found = ratio(numerator, denominator, clusters)
    return Estimate(value=found.value, interval=found.interval, samples=len(numerator))


def _gain(start: Scores, end: Scores) -> np.ndarray:
    return start.tokens.nll.astype(np.float64) - end.tokens.nll


def _outcome(share: Estimate, floor: float) -> RecoveryOutcome:
    if share.interval is None:
        return "inconclusive"
    if share.interval.low >= floor:
        return "fine"
    return "regressed" if share.interval.high < floor else "inconclusive"
