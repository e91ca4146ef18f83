"""Intervals and summaries. Every method is scipy's; this module only names what we use."""

from collections.abc import Sequence
from functools import cache
from statistics import median

from phase8.core.interval import Interval


@cache  # a report shows the same few shares hundreds of times
def clopper_pearson(successes: int, trials: int) -> Interval:
    """The exact two-sided 95 % interval of a share.

    Source: Clopper and Pearson (1934), as in ``scipy.stats.binomtest``.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    low, high = _lower_limit(successes, trials, 0.975), _upper_limit(successes, trials, 0.975)
    return Interval(low=low, high=high, method="Clopper-Pearson")


def _lower_limit(successes: int, trials: int, level: float) -> float:
    """The exact one-sided lower limit of a share: the beta quantile that Clopper and Pearson's condition comes to."""
    from scipy.special import betaincinv  # scipy.stats takes ten times as long to import

    _check(successes, trials)
    return float(betaincinv(successes, trials - successes + 1, 1 - level)) if successes else 0.0


def _upper_limit(successes: int, trials: int, level: float) -> float:
    from scipy.special import betaincinv

    _check(successes, trials)
    return float(betaincinv(successes + 1, trials - successes, level)) if successes < trials else 1.0


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes ({successes}) must be from 0 to trials ({trials}), of which there is at least one")


def ratio_of_medians(numerator: tuple[float, ...], denominator: tuple[float, ...]) -> tuple[float, Interval]:
    """The ratio of two medians with its 95 % percentile bootstrap interval (2,000 resamples, fixed seed).

    The two samples are resampled independently. Source: Efron and Tibshirani (1993), chapter 13.

    Raises:
        ValueError: fewer than two values on either side.
    """
    import numpy as np
    from scipy.stats import bootstrap

    if min(len(numerator), len(denominator)) < 2:
        raise ValueError(f"need two values on each side, got {len(numerator)} and {len(denominator)}")
    found = bootstrap(
        (np.asarray(numerator), np.asarray(denominator)),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    interval = Interval(low=float(found.low), high=float(found.high), method="bootstrap of the ratio of medians")
    return median(numerator) / median(denominator), interval


def mcnemar_greater(lost: int, gained: int) -> float:
    """The one-sided exact p that prompts are lost no more often than gained.

    Source: McNemar (1947) in its exact form, a binomial test of ``lost`` in ``lost + gained`` at 1/2.
    Without a prompt that differs there is no evidence of a loss, and p is 1.
    """
    from scipy.special import betainc

    # P(X >= lost) of the binomial; Abramowitz and Stegun (1964), 26.5.24.
    return float(betainc(lost, gained + 1, 0.5)) if lost else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given; below a level, their tests hold jointly at that level.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 65-70: the k-th smallest of m times m - k + 1, never below the one before, at most 1.
    """
    adjusted, highest = [1.0] * len(values), 0.0
    for rank, position in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[position]))
        adjusted[position] = highest
    return adjusted


def paired_upper_bound(lost: int, gained: int, trials: int) -> float:
    """An exact one-sided 95 % upper bound of a paired difference: the share lost minus the share gained.

    The Clopper-Pearson upper limit of the share lost at 95.5 % minus the lower limit of the share gained at 99.5 %:
    by Bonferroni's inequality both hold together at least 95 times in 100, whatever the two shares are. The
    error is split unevenly, and beforehand, so that little is given away where nothing is gained: 0 lost of
    201 leave 1.53 %, against 1.48 % for the share lost alone. Trials are taken to be independent.

    Source: Clopper and Pearson (1934) for each limit, as in ``scipy.stats.binomtest``.

    Raises:
        ValueError: no trials, or more lost and gained than trials.
    """
    if lost + gained > trials:
        raise ValueError(f"lost ({lost}) and gained ({gained}) must be at most trials ({trials})")
    return _upper_limit(lost, trials, 0.955) - _lower_limit(gained, trials, 0.995)


def clustered_upper_bound(values: Sequence[float], clusters: Sequence[str]) -> float:
    """The one-sided 95 % upper bound of a mean whose values come in clusters (bootstrap, 4,000 resamples, fixed seed).

    Whole clusters are drawn with replacement, and the bound is the 95th percentile of the means: values of one
    cluster are kept together, so that they count as what they are, not as independent evidence. One cluster
    varies with nothing, and its bound is 1, the largest loss there is.

    Source: Davison and Hinkley (1997), "Bootstrap Methods and their Application", section 3.8, resampling
    clusters; Efron and Tibshirani (1993), chapter 13, for the percentile bound.

    Raises:
        ValueError: no values, or as many clusters as values are not given.
    """
    import numpy as np
    from scipy.stats import bootstrap

    if not values:
        raise ValueError("no values to bound the mean of")
    sums: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    if len(sums) < 2:
        return 1.0
    totals, sizes = (np.asarray([f(members) for members in sums.values()], dtype=float) for f in (sum, len))
    found = bootstrap(
        (totals, sizes),
        lambda total, size, axis: total.sum(axis=axis) / size.sum(axis=axis),
        paired=True,
        n_resamples=4000,
        confidence_level=0.95,
        alternative="less",
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.high)
