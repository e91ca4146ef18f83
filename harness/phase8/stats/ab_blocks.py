"""Whether a change is slower, from blocks of A B B A: bounds on a ratio, two looks, Holm over a run. Pure.

A block's value is the median, over its A B B A, of the logarithm of the change's seconds over the baseline's:
neighbours in time are compared, so that a machine whose speed wanders does not count, and one that stumbles counts
little. Blocks are what is resampled, since what is in one block shares whatever the machine did meanwhile.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

from phase8.stats.proportions import holm

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
LOOKS = 2
LOOK_LEVEL = LEVEL / LOOKS
LEAST = 6  # fewer blocks bound nothing that is worth telling
RESAMPLES = 10_000
_SEED = 8

Key = tuple[str, str]
Outcome = Literal["regressed", "fine", "inconclusive"]


class Bounds(NamedTuple):
    """A ratio, its one-sided bounds, each with error ``LOOK_LEVEL``, and the p that it is at most the limit."""

    ratio: float
    low: float
    high: float
    p: float


class Judged(NamedTuple):
    """One quantity of one variant, by the look that decided it or, where none has, the last one."""

    bounds: Bounds
    adjusted_p: float
    outcome: Outcome
    blocks: int


def block_value(baseline: Sequence[float], change: Sequence[float]) -> float | None:
    """The median logarithm of change over baseline, over the A B B A of one block; None where there is no whole one.

    Args:
        baseline: seconds, in the order they were taken.
        change: seconds beside them; every second pair was taken in the other order.
    """
    usable = min(len(baseline), len(change)) // 2 * 2
    pairs = [(sum(baseline[i : i + 2]), sum(change[i : i + 2])) for i in range(0, usable, 2)]
    return median(math.log(after / before) for before, after in pairs) if pairs else None


def bounds(values: Sequence[float], limit: float) -> Bounds:
    """Bounds of the ratio behind block values, and the one-sided p that it is at most ``limit``.

    Two methods are asked and the more cautious answer of each is taken: the studentised bootstrap by block, which
    follows skewness, and Student's t, which is exact where blocks are normal. ``suites/unit/test_block_stats.py``
    simulates how often both together are wrong.

    Sources: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", section 12.5; Student (1908).

    Args:
        values: one value a block, as ``block_value`` gives it.
        limit: the ratio that is allowed.

    Raises:
        ValueError: fewer than ``LEAST`` blocks.
    """
    import numpy as np
    from scipy.stats import t  # 0.5 s to import, not needed to collect tests

    x, n = np.asarray(values, np.float64), len(values)
    if n < LEAST:
        raise ValueError(f"bounds need at least {LEAST} blocks, got {n}")
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(n)
    if error < 1e-12:
        return Bounds(*(math.exp(mean),) * 3, p=float(mean <= math.log(limit)))
    counts = _drawn(n)
    means = counts @ x / n
    errors = np.sqrt(np.maximum(counts @ x**2 / n - means**2, 0) / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = (means - mean) / errors
    # A resample of one block has no spread: it is as far away as can be, on its own side.
    distances = np.where(errors > 1e-12, distances, np.where(means >= mean, np.inf, -np.inf))
    far = (mean - math.log(limit)) / error
    below, above = np.quantile(distances, [LOOK_LEVEL, 1 - LOOK_LEVEL], method="inverted_cdf")
    student = float(t.ppf(1 - LOOK_LEVEL, n - 1))
    return Bounds(
        ratio=math.exp(mean),
        low=math.exp(mean - max(float(above), student) * error),
        high=math.exp(mean - min(float(below), -student) * error),
        p=max(float((np.sum(distances >= far) + 1) / (RESAMPLES + 1)), float(t.sf(far, n - 1))),
    )


def judge(values: Mapping[Key, Sequence[float]], limit: float, decided: Mapping[Key, Judged]) -> dict[Key, Judged]:
    """What one look says of every quantity of a run; what an earlier look ``decided`` stays, with its p in the family.

    Regressed where the p that the ratio is within the limit is under the look's share of the error after Holm over all
    quantities and variants. Fine where the upper bound is at most the limit: a run is fine only if every
    quantity is, and of tests that all must reject none needs a correction. Else inconclusive.

    Sources: Holm (1979) in ``stats.holm``; Berger (1982), Technometrics 24, 295-300, for tests that all must reject;
    the error is halved between two looks, which Bonferroni's inequality allows whatever the looks have in common
    (Pocock (1977), Biometrika 64, 191-199, shows how much could be won back).
    """
    found = {key: bounds(one, limit) for key, one in values.items() if key not in decided}
    family = [judged.bounds.p for judged in decided.values()] + [one.p for one in found.values()]
    adjusted = holm(family)[len(decided) :]
    return dict(decided) | {
        key: Judged(one, p, _outcome(one, p, limit), len(values[key]))
        for (key, one), p in zip(found.items(), adjusted, strict=True)
    }


def _outcome(found: Bounds, adjusted_p: float, limit: float) -> Outcome:
    if adjusted_p < LOOK_LEVEL:
        return "regressed"
    return "fine" if found.high <= limit else "inconclusive"


@cache
def _drawn(count: int) -> "np.ndarray":
    """How often each of ``count`` blocks is in each resample: (RESAMPLES, count), the same in every call."""
    import numpy as np

    return np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
