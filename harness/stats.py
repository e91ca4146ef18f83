"""Intervals and summaries. Every method is scipy's; this module only names what we use."""

from statistics import median

from harness.record import Interval


def clopper_pearson(successes: int, trials: int) -> Interval:
    """The exact two-sided 95 % interval of a share.

    Source: Clopper and Pearson (1934), as in ``scipy.stats.binomtest``.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    from scipy.stats import binomtest  # 0.5 s to import, not needed to collect tests

    found = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="exact")
    return Interval(low=float(found.low), high=float(found.high), method="Clopper-Pearson")


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
