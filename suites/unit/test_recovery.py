"""Recovery on cases whose answer is known."""

from __future__ import annotations

from functools import cache

import pytest

from phase8.core.lazy_imports import np
from phase8.survival.recovery import recovery
from suites.unit.scores import scores


@cache
def gains() -> np.ndarray:
    """What the fine-tuning gained of each of 80 tokens, in nats."""
    return np.random.default_rng(5).gamma(4, 0.5, 80)


def base() -> np.ndarray:
    """Each token's likelihood before it."""
    return np.full(80, 3.0) + gains()


def test_a_known_share_of_every_tokens_gain_is_found(subtests: pytest.Subtests) -> None:
    """A variant that keeps the same share everywhere recovers exactly that."""
    for kept, outcome in [(1.0, "fine"), (0.96, "fine"), (0.9, "regressed"), (-0.5, "regressed")]:
        with subtests.test(kept=kept, outcome=outcome):
            found = recovery(
                scores(base() - kept * gains()), scores(base()), scores(base() - gains()), None, floor=0.95
            )
            assert found.share is not None
            assert found.share.value == pytest.approx(kept, abs=1e-5)
            assert found.outcome == outcome


def test_tokens_count_once_however_long_their_row_is() -> None:
    """Half of the gain lost in one token of eight is a sixteenth."""
    base, end = np.full(8, 2.0), np.full(8, 1.0)
    variant = end.copy()
    variant[0] = 1.5
    found = recovery(scores(variant), scores(base), scores(end), None, floor=0.95)
    assert found.share is not None
    assert found.share.value == pytest.approx(1 - 1 / 16)


def test_a_loss_that_few_topics_bear_is_inconclusive() -> None:
    """One of twenty rows lost all of its gain: the mean is near the floor, and nothing sure about it."""
    kept = np.ones(80)
    kept[:4] = 0.0
    found = recovery(scores(base() - kept * gains()), scores(base()), scores(base() - gains()), None, floor=0.95)
    assert found.outcome == "inconclusive"


def test_where_nothing_was_gained_nothing_is_divided() -> None:
    """An adapter that helps some rows and harms as many."""
    signs = np.where(np.arange(80) % 8 < 4, 1.0, -1.0)
    found = recovery(scores(base()), scores(base()), scores(base() - signs), None, floor=0.95)
    assert found.outcome == "nothing to recover"
    assert found.share is None


def test_a_reference_that_lost_the_adapter_is_no_measure() -> None:
    """Half of the gain is gone from both: against the reference alone the variant would have kept all of it."""
    half = scores(base() - 0.5 * gains())
    live = scores(base() - gains())
    assert recovery(half, scores(base()), half, None, floor=0.95).outcome == "fine"
    found = recovery(half, scores(base()), half, None, floor=0.95, live=live)
    assert found.outcome == "reference lost"
    assert found.share is not None
    assert found.share.value == pytest.approx(0.5)
    assert recovery(live, scores(base()), live, None, floor=0.95, live=live).outcome == "fine"


def test_a_reference_that_may_have_kept_the_gain_or_not_is_neither_lost_nor_a_measure() -> None:
    """One of twenty rows lost all of its gain: near the floor, and nothing sure about it."""
    kept = np.ones(80)
    kept[:4] = 0.0
    reference, live = scores(base() - kept * gains()), scores(base() - gains())
    found = recovery(reference, scores(base()), reference, None, floor=0.95, live=live)
    assert found.outcome == "reference not shown"
    assert found.attribution is None


@pytest.mark.parametrize("topics", [1, 2])
def test_few_topics_prove_nothing_by_agreeing(topics: int) -> None:
    """All rows of one topic have no interval; two that keep 96 and 97 % are far from sure of 95 %."""
    kept = np.where(np.arange(80) < 40, 0.96, 0.97)
    groups = [f"topic-{i * topics // 20}" for i in range(20)]
    given = [scores(base() - share * gains(), groups=groups) for share in (kept, 0.0, 1.0)]
    found = recovery(*given, None, floor=0.95)
    assert found.outcome == ("nothing to recover" if topics == 1 else "inconclusive")


def test_an_adapter_that_harms_has_nothing_to_recover() -> None:
    """A negative gain over a negative gain would be a share of one."""
    found = recovery(scores(base() + gains()), scores(base()), scores(base() + gains()), None, floor=0.95)
    assert found.outcome == "nothing to recover"


def test_the_control_tells_loss_of_the_model_from_loss_of_the_adapter() -> None:
    """Quantising cost every token a nat, the control too: the model is worse, the adapter's work is there."""
    found = recovery(
        scores(base() - gains() + 1), scores(base()), scores(base() - gains()), scores(base() + 1), floor=0.95
    )
    assert found.outcome == "regressed"
    assert found.attribution is not None
    expected = gains().sum() / (gains().sum() + 80)
    assert found.attribution.value == pytest.approx(expected)
    assert found.share is not None
    assert found.share.value < found.attribution.value


def test_scores_of_other_rows_are_refused() -> None:
    """A share of another gain means nothing."""
    with pytest.raises(ValueError, match="different rows"):
        recovery(scores(base()[:40]), scores(base()), scores(base() - gains()), None, floor=0.95)
