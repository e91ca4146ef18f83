"""Ratios over clusters, and whether their intervals hold what they promise."""

import numpy as np
import pytest

from harness import clustered
from harness.clustered import drawn, ratio, summed


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
    """69 rows in up to 50 topics that share part of their gain and loss: better than percentiles of the same draws."""
    monkeypatch.setattr(clustered, "RESAMPLES", 1000)
    drawn.cache_clear()
    rng, true, worlds = np.random.default_rng(1), 0.98, 400
    held = {"studentised": 0, "percentile": 0}
    for _ in range(worlds):
        tops, bottoms, topics = _rows(rng, true)
        found = ratio(tops, bottoms, topics).interval
        assert found is not None
        held["studentised"] += found.low <= true <= found.high
        above, below = summed(tops, topics), summed(bottoms, topics)
        counts = drawn(len(above))
        low, high = np.quantile((counts @ above) / (counts @ below), [0.025, 0.975])
        held["percentile"] += low <= true <= high
    drawn.cache_clear()
    assert held["studentised"] >= held["percentile"]
    assert 0.90 <= held["studentised"] / worlds <= 0.98


def _rows(rng: np.random.Generator, true: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gains left and gains there were of 69 rows, and their topics; losses are skewed and shared within a topic."""
    topics, tokens = rng.integers(0, 50, 69), rng.integers(8, 60, 69)
    gain = 1.5 * rng.gamma(4, 0.25, 50)[topics] * rng.gamma(8, 1 / 8, 69) * tokens
    skewed = [rng.lognormal(-0.125, 0.5, count) for count in (50, 69)]
    loss = (1 - true) * 1.5 * skewed[0][topics] * skewed[1] * tokens
    return gain - loss + 0.05 * rng.normal(0, 1, 69) * np.sqrt(tokens), gain, topics
