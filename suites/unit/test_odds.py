"""Distributions in a few cells: what they keep, and how far two are apart."""

from __future__ import annotations

from functools import cache
from math import inf, log

import pytest

from phase8.core.lazy_imports import np
from phase8.record.audit import Odds
from phase8.stats.top_logprobs import divergence, odds


@cache
def random() -> np.random.Generator:
    """What every distribution is drawn from."""
    return np.random.default_rng(8)


def full(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) over every token, from unnormalised log-probabilities, by SciPy."""
    from scipy.special import rel_entr, softmax

    return float(rel_entr(softmax(p), softmax(q)).sum())


def logits(size: int = 200) -> np.ndarray:
    """Peaked enough to look like a language model's."""
    return random().normal(0, 3, size)


def test_the_cells_are_the_likeliest_tokens_and_the_rest() -> None:
    """Normalised, whatever was given; ids by likelihood."""
    found = odds(np.log([0.1, 0.5, 0.05, 0.3, 0.05]) + 7, 2)
    assert found.tokens == (1, 3)
    assert found.log_p == pytest.approx((log(0.5), log(0.3)), abs=1e-9)
    assert found.log_rest == pytest.approx(log(0.2), abs=1e-9)


def test_of_equally_likely_tokens_the_first_are_kept() -> None:
    """So that two runs name the same ones."""
    assert odds(np.zeros(50), 3).tokens == (0, 1, 2)


def test_with_every_token_in_a_cell_of_its_own_it_is_the_whole_divergence() -> None:
    """And the rest has no probability."""
    p, q = logits(20), logits(20)
    assert divergence(odds(p, 20), odds(q, 20)) == pytest.approx(full(p, q), rel=1e-6)


def test_merged_cells_never_say_more_than_the_whole(subtests: pytest.Subtests) -> None:
    """The data processing inequality, also where the two name different tokens; and they say much of it."""
    for noise in [1e-4, 1e-2, 1.0, 5.0]:
        with subtests.test(noise=noise):
            said = []
            for _ in range(50):
                p = logits()
                q = p + random().normal(0, noise, p.size)
                found, whole = divergence(odds(p, 8), odds(q, 8)), full(p, q)
                assert 0 <= found <= whole * (1 + 1e-6) + 1e-14
                said.append(found / whole)
            assert np.median(said) > 0.25


def test_other_likeliest_tokens_are_far_even_where_none_is_named_by_both() -> None:
    """What ours does not name is no likelier than the last that it names."""
    p, q = np.zeros(100), np.zeros(100)
    p[:4], q[50:54] = 10, 10
    found = divergence(odds(p, 4), odds(q, 4))
    assert 1 < found <= full(p, q)
    assert divergence(odds(p, 4), odds(p * 0, 4)) == pytest.approx(full(p, p * 0), rel=0.05)


def test_the_divergence_has_a_direction() -> None:
    """KL(theirs || ours): the baseline's tokens weigh."""
    p, q = np.log([0.9, 0.1]), np.log([0.5, 0.5])
    assert divergence(odds(p, 1), odds(q, 1)) == pytest.approx(0.9 * log(1.8) + 0.1 * log(0.2), rel=1e-6)
    assert divergence(odds(q, 1), odds(p, 1)) == pytest.approx(0.5 * log(0.5 / 0.9) + 0.5 * log(5), rel=1e-6)


def test_the_same_cells_are_at_no_distance_at_all() -> None:
    """Exactly 0, also after a record was written and read."""
    for _ in range(20):
        found = odds(logits(), 8)
        assert divergence(found, Odds.model_validate_json(found.model_dump_json())) == 0.0


def test_scaled_logits_move_it_by_half_the_variance_of_ln_p() -> None:
    """The second-order expansion of KL in the scale: what the docs say of a factor of 1.001."""
    wide = logits()
    p = np.exp(wide - np.logaddexp.reduce(wide))
    variance = float((p * np.log(p) ** 2).sum() - (p * np.log(p)).sum() ** 2)
    assert divergence(odds(wide, 200), odds(wide * 1.001, 200)) == pytest.approx(variance * 1e-6 / 2, rel=0.01)


def test_logits_that_are_no_numbers_are_infinitely_far_from_ones_that_are() -> None:
    """They have no cells."""
    broken = odds(np.array([0.0, np.nan]), 1)
    assert broken.tokens == ()
    assert divergence(odds(np.zeros(2), 1), broken) == inf
    assert divergence(broken, odds(np.zeros(2), 1)) == inf
    assert divergence(broken, broken) == 0.0
