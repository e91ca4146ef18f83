"""Likelihood, divergence and margin from logits, against the definitions in float64."""

from __future__ import annotations

from functools import cache

import pytest

from phase8.core.lazy_imports import np
from phase8.stats.token_metrics import log_odds, log_probability_and_rest, token_numbers


@cache
def logits() -> np.ndarray:
    """Of 37 tokens over 500."""
    return np.random.default_rng(4).normal(0, 3, (37, 500)).astype(np.float32)


@cache
def targets() -> np.ndarray:
    """The right token of each."""
    return np.random.default_rng(5).integers(0, 500, 37)


def logs(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities in float64."""
    wide = logits.astype(np.float64)
    return wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)


def test_likelihood_is_the_definition() -> None:
    """- ln p of the target."""
    found = token_numbers(logits(), targets(), None, keep=True)
    np.testing.assert_allclose(found.nll, -logs(logits())[np.arange(37), targets()], rtol=1e-5)
    assert found.log_probabilities is not None
    np.testing.assert_allclose(found.log_probabilities, logs(logits()), atol=1e-5)
    assert not found.kl.any()
    assert found.same_top.all()


@pytest.mark.parametrize("noise", [1.0, 0.1, 0.001])
def test_divergence_is_the_definition_however_small(noise: float) -> None:
    """To 3e-7 nats: at 8 bits a token diverges by some 1e-5."""
    rng = np.random.default_rng(6)
    other = (logits() + rng.normal(0, noise, logits().shape)).astype(np.float32)
    theirs, ours = logs(logits()), logs(other)
    expected = (np.exp(theirs) * (theirs - ours)).sum(axis=-1)
    found = token_numbers(other, targets(), theirs.astype(np.float32))
    np.testing.assert_allclose(found.kl, expected, rtol=1e-3, atol=3e-7)
    assert (found.same_top == (theirs.argmax(-1) == ours.argmax(-1))).all()


def test_odds_of_a_string_are_those_of_its_tokens_together() -> None:
    """p is the product; 1 - p is not the product of the rest."""
    p = np.array([0.9, 0.5])
    assert log_odds(np.log(p), np.log1p(-p)) == pytest.approx(np.log(0.45 / 0.55))


def test_odds_stay_finite_where_p_rounds_to_one() -> None:
    """Logits 60 apart: 1 - p is 1e-26, and its logarithm is known."""
    logits = np.array([[60.0, 0.0, 0.0]], np.float32)
    assert log_odds(*log_probability_and_rest(logits, np.array([0]))) == pytest.approx(60 - np.log(2))
    assert log_odds(*log_probability_and_rest(logits, np.array([1]))) == pytest.approx(-60)
