"""Ratios of sums over clusters, with intervals: values of one cluster are no independent evidence.

Simulated with 69 rows in 25 to 69 topics, a 95 % interval held the truth in 89 to 94.5 % of cases; where topics differ
much and lean one way, its lower bound was above the truth in 8 to 10 % instead of 2.5 %.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from phase8.core.interval import Interval
from phase8.core.lazy_imports import np

RESAMPLES = 4000
FEW = 4  # clusters: below that, resamples of one cluster over and over are too many to bound anything
_SEED = 8


class Estimate(NamedTuple):
    """A ratio and its interval; the interval is None with fewer than two clusters."""

    value: float
    interval: Interval | None


def ratio(numerator: np.ndarray, denominator: np.ndarray, clusters: np.ndarray) -> Estimate:
    """The ratio of two sums with its two-sided 95 % interval; a mean has counts as its denominator.

    Whole clusters are drawn with replacement, and numerator and denominator stay together. The interval is the
    studentised (bootstrap-t) one: each resample's distance from the ratio is divided by its own standard error, a
    linearisation over its clusters, so that skewness and the small number of clusters count. In simulations of 69 rows
    in 25 to 69 clusters of unequal size it held the true ratio in 94 % of them where losses are mildly skewed and in
    89 to 91 % where they are heavily skewed; the percentile interval in 91 to 94 % and 84 to 89 %, BCa in 90 to 93 %
    and 85 to 88 % (``python -m harness prove interval`` repeats them). Of two or three clusters the percentile interval
    held it in 55 and 76 %, so that those get Student's t interval on the linearised ratio, which held it in 93 %.

    Sources: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", sections 12.5 and 13.5; Cameron, Gelbach
    and Miller (2008), "Bootstrap-based improvements for inference with clustered errors", Review of Economics and
    Statistics 90, 414-427, for resampling clusters and for the studentised statistic.

    Args:
        numerator: values (N,).
        denominator: values (N,); their sum is not 0.
        clusters: the cluster (N,) of each value, as integers or strings.

    Raises:
        ValueError: nothing to take a ratio of, or a denominator that sums to 0.
    """
    tops, bottoms = summed(numerator, clusters), summed(denominator, clusters)
    if not len(tops) or not bottoms.sum():
        raise ValueError("a ratio needs values, and a denominator whose sum is not 0")
    value = float(tops.sum() / bottoms.sum())
    return Estimate(value, _studentised(value, tops, bottoms) if len(tops) > 1 else None)


def summed(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """The sum of each cluster's values, in float64."""
    _, inverse = np.unique(clusters, return_inverse=True)
    return np.bincount(inverse, weights=np.asarray(values, np.float64))


@cache
def drawn(count: int) -> np.ndarray:
    """How often each of ``count`` clusters is in each resample: (RESAMPLES, count), the same in every call."""
    return np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def _student(value: float, own: float, count: int) -> Interval:
    """Student's t interval on the linearised ratio: of few clusters many resamples are one cluster over and over."""
    from scipy.stats import t  # 0.5 s to import, seldom needed

    half = float(t.ppf(0.975, count - 1)) * own * math.sqrt(count / (count - 1))
    return Interval(low=value - half, high=value + half, method="Student t over clusters")


def _studentised(value: float, tops: np.ndarray, bottoms: np.ndarray) -> Interval:
    counts = drawn(len(tops))
    above, below = counts @ tops, counts @ bottoms
    usable = below * np.sign(bottoms.sum()) > 0
    ratios = above[usable] / below[usable]
    # The sum over drawn clusters of (top - ratio * bottom) squared, written out so that it needs no loop.
    squares = counts[usable] @ np.stack([tops**2, tops * bottoms, bottoms**2], axis=1)
    spread = squares[:, 0] - 2 * ratios * squares[:, 1] + ratios**2 * squares[:, 2]
    errors = np.sqrt(np.maximum(spread, 0.0)) / np.abs(below[usable])
    own = math.sqrt(float(((tops - value * bottoms) ** 2).sum())) / abs(float(bottoms.sum()))
    if own <= 1e-12 * max(1.0, abs(value)):  # every cluster has the same ratio
        return Interval(low=value, high=value, method="studentised cluster bootstrap")
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = (ratios - value) / errors
    distances[~np.isfinite(distances)] = np.inf  # a resample of one cluster has no spread: it bounds nothing
    low, high = np.quantile(distances, [0.025, 0.975], method="higher")
    ends = value - high * own, value - low * own
    if len(tops) < FEW or not all(map(math.isfinite, ends)):
        return _student(value, own, len(tops))
    return Interval(low=float(ends[0]), high=float(ends[1]), method="studentised cluster bootstrap")
