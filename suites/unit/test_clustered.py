"""Ratios over clusters, and whether their intervals hold what they promise."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from phase8.core.lazy_imports import np
from phase8.proofs import interval_coverage as coverage_module
from phase8.proofs.interval_coverage import TRUE, Setting, coverage, worlds
from phase8.stats import cluster_bootstrap as clustered
from phase8.stats.cluster_bootstrap import drawn, ratio, summed


def test_a_mean_is_the_ratio_to_a_count() -> None:
    """Of four values in three clusters."""
    found = ratio(np.array([1.0, 2.0, 3.0, 6.0]), np.ones(4), np.array(["a", "a", "b", "c"]))
    assert found.value == 3.0
    assert found.interval is not None
    assert found.interval.low < 3.0 < found.interval.high


def test_the_same_values_in_fewer_clusters_are_less_evidence() -> None:
    """Pairs that fall together widen the interval by about the root of two."""
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(1, 0.5, 60), 2)
    alone, paired = (ratio(values, np.ones(120), c).interval for c in (np.arange(120), np.arange(120) // 2))
    assert alone is not None
    assert paired is not None
    assert 1.25 < (paired.high - paired.low) / (alone.high - alone.low) < 1.6


def test_a_ratio_that_is_the_same_in_every_cluster_is_certain() -> None:
    """There is nothing to vary."""
    bottoms = np.array([1.0, 5.0, 2.0])
    found = ratio(0.75 * bottoms, bottoms, np.arange(3))
    assert found.interval is not None
    assert found.interval.low == found.interval.high == found.value == pytest.approx(0.75)


def test_one_cluster_has_no_interval() -> None:
    """It varies with nothing."""
    assert ratio(np.array([1.0, 2.0]), np.ones(2), np.zeros(2)).interval is None


def test_a_sum_of_zero_divides_nothing() -> None:
    """It is said, not given as an infinite share."""
    with pytest.raises(ValueError, match="not 0"):
        ratio(np.ones(2), np.array([1.0, -1.0]), np.arange(2))


def test_intervals_hold_the_true_ratio_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """69 rows in 50 topics that share part of their gain and loss: better than percentiles of the same draws."""
    monkeypatch.setattr(clustered, "RESAMPLES", 1000)
    drawn.cache_clear()
    setting, percentile = Setting(69, 50, 0.5), 0
    found = coverage(setting, 400)
    for tops, bottoms, topics in worlds(setting, 400):
        above, below = summed(tops, topics), summed(bottoms, topics)
        counts = drawn(len(above))
        low, high = np.quantile((counts @ above) / (counts @ below), [0.025, 0.975])
        percentile += low <= TRUE <= high
    drawn.cache_clear()
    assert found.held >= percentile
    assert 0.90 <= found.held / found.worlds <= 0.98


@pytest.mark.parametrize("topics", [2, 3, 4])
def test_the_interval_of_a_few_topics_is_wide_enough(topics: int) -> None:
    """Two topics that agree by chance are no proof: the lower bound is seldom above the truth."""
    found = coverage(Setting(24, topics, 0.5), 300)
    assert found.held / found.worlds > 0.87
    assert found.above / found.worlds < 0.1


def test_a_world_keeps_the_share_that_it_says() -> None:
    """Over many worlds the gain that is left is 98 % of the gain."""
    left, gain = np.sum([(tops.sum(), bottoms.sum()) for tops, bottoms, _ in worlds(Setting(69, 50, 0.5), 200)], axis=0)
    assert left / gain == pytest.approx(TRUE, abs=0.002)


def test_an_interval_that_holds_too_little_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 where intervals are half as wide as they should be, 0 where they are as they are; a line a setting."""
    monkeypatch.setattr(coverage_module, "WORLDS", 80)
    monkeypatch.setattr(coverage_module, "SETTINGS", (Setting(24, 10, 0.5), Setting(24, 3, 0.5)))
    out = io.StringIO()
    assert coverage_module.prove_interval(Console(file=out, width=200)) == 0
    monkeypatch.setattr(coverage_module, "ratio", _half_as_wide)
    assert coverage_module.prove_interval(Console(file=out, width=200)) == 1
    lines = out.getvalue().splitlines()
    assert [line.split(":")[-1] for line in lines if line.startswith("interval")] == [
        " all hold at least 87%",
        " 2 of 2 HOLD THE TRUTH TOO SELDOM",
    ]


def _half_as_wide(*arguments: np.ndarray) -> clustered.Estimate:
    found = ratio(*arguments)
    assert found.interval is not None
    low, high = ((found.value + end) / 2 for end in (found.interval.low, found.interval.high))
    return found._replace(interval=found.interval.model_copy(update={"low": low, "high": high}))
