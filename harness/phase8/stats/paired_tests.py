"""Is one share larger than another: independent prompts (Newcombe) and the same prompts (McNemar)."""

from math import sqrt

from phase8.core.interval import Interval


def newcombe(successes_a: int, trials_a: int, successes_b: int, trials_b: int) -> Interval:
    """The two-sided 95 % hybrid-score interval of ``a - b``, two independent shares.

    Source: Newcombe (1998), "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17, 873-890, method 10: Wilson intervals, no continuity correction.

    Raises:
        ValueError: no trials on a side, or more successes than trials.
    """
    share_a, low_a, high_a = _wilson(successes_a, trials_a)
    share_b, low_b, high_b = _wilson(successes_b, trials_b)
    difference = share_a - share_b
    return Interval(
        low=difference - sqrt((share_a - low_a) ** 2 + (high_b - share_b) ** 2),
        high=difference + sqrt((high_a - share_a) ** 2 + (share_b - low_b) ** 2),
        method="Newcombe hybrid score",
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p that both sides are equally often right, from the cases where just one is right.

    Source: McNemar (1947) in its exact form, a binomial test of ``only_a`` in ``only_a + only_b`` at 1/2.
    Without such a case there is nothing to tell them apart, and p is 1.
    """
    from scipy.stats import binomtest  # 0.5 s to import, not needed to collect tests

    discordant = only_a + only_b
    return float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0


def _wilson(successes: int, trials: int) -> tuple[float, float, float]:
    from scipy.stats import binomtest  # 0.5 s to import, not needed to collect tests

    found = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    return successes / trials, float(found.low), float(found.high)
