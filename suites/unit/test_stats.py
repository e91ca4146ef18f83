"""Intervals against published values and their own promise."""

import math

import pytest

from harness.stats import clopper_pearson, ratio_of_medians


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (5, 5, 0.4782, 1.0),
        (3, 5, 0.1466, 0.9473),
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (8, 10, 0.4439, 0.9748),
        (1, 20, 0.0013, 0.2487),
        (0, 100, 0.0, 0.0362),
    ],
)
def test_clopper_pearson_gives_the_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """From tables of exact 95 % limits."""
    found = clopper_pearson(successes, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("trials", [5, 20])
def test_clopper_pearson_covers_every_true_share_at_least_95_times_in_100(trials: int) -> None:
    """Summed over all outcomes, not sampled."""
    intervals = [clopper_pearson(successes, trials) for successes in range(trials + 1)]
    for share in (step / 50 for step in range(1, 50)):
        coverage = sum(
            math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)
            for hits, found in enumerate(intervals)
            if found.low <= share <= found.high
        )
        assert coverage >= 0.95


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (6, 5), (-1, 5)])
def test_a_share_of_nothing_has_no_interval(successes: int, trials: int) -> None:
    """Nor one of more than there is."""
    with pytest.raises(ValueError, match="must|less|greater"):
        clopper_pearson(successes, trials)


def test_a_ratio_of_medians_lies_in_its_interval() -> None:
    """Twice as slow, with some noise."""
    fast = tuple(1 + step / 100 for step in range(20))
    ratio, interval = ratio_of_medians(tuple(2 * value for value in fast), fast)
    assert ratio == pytest.approx(2.0)
    assert 1.8 < interval.low < ratio < interval.high < 2.2


def test_the_same_samples_give_the_same_interval() -> None:
    """A verdict does not change when it is judged again."""
    mine, other = (1.0, 1.1, 1.3, 0.9), (1.0, 1.2, 0.8)
    assert ratio_of_medians(mine, other) == ratio_of_medians(mine, other)


def test_one_sample_has_no_interval() -> None:
    """On either side."""
    with pytest.raises(ValueError, match="two values on each side, got 1 and 2"):
        ratio_of_medians((1.0,), (1.0, 2.0))
