"""Recovery on cases whose answer is known."""

import numpy as np
import pytest

from harness.recovery import recovery
from suites.unit.scores import scores

GAINS = np.random.default_rng(5).gamma(4, 0.5, 80)
BASE = np.full(80, 3.0) + GAINS


@pytest.mark.parametrize(("kept", "outcome"), [(1.0, "fine"), (0.96, "fine"), (0.9, "regressed"), (-0.5, "regressed")])
def test_a_known_share_of_every_tokens_gain_is_found(kept: float, outcome: str) -> None:
    """A variant that keeps the same share everywhere recovers exactly that."""
    found = recovery(scores(BASE - kept * GAINS), scores(BASE), scores(BASE - GAINS), None, floor=0.95)
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
    found = recovery(scores(BASE - kept * GAINS), scores(BASE), scores(BASE - GAINS), None, floor=0.95)
    assert found.outcome == "inconclusive"


def test_where_nothing_was_gained_nothing_is_divided() -> None:
    """An adapter that helps some rows and harms as many."""
    signs = np.where(np.arange(80) % 8 < 4, 1.0, -1.0)
    found = recovery(scores(BASE), scores(BASE), scores(BASE - signs), None, floor=0.95)
    assert found.outcome == "nothing to recover"
    assert found.share is None


def test_a_reference_that_lost_the_adapter_is_no_measure() -> None:
    """Half of the gain is gone from both: against the reference alone the variant would have kept all of it."""
    half = scores(BASE - 0.5 * GAINS)
    live = scores(BASE - GAINS)
    assert recovery(half, scores(BASE), half, None, floor=0.95).outcome == "fine"
    found = recovery(half, scores(BASE), half, None, floor=0.95, live=live)
    assert found.outcome == "reference lost"
    assert found.share is not None
    assert found.share.value == pytest.approx(0.5)
    assert recovery(live, scores(BASE), live, None, floor=0.95, live=live).outcome == "fine"


@pytest.mark.parametrize("topics", [1, 2])
def test_few_topics_prove_nothing_by_agreeing(topics: int) -> None:
    """All rows of one topic have no interval; two that keep 96 and 97 % are far from sure of 95 %."""
    kept = np.where(np.arange(80) < 40, 0.96, 0.97)
    groups = [f"topic-{i * topics // 20}" for i in range(20)]
    given = [scores(BASE - share * GAINS, groups=groups) for share in (kept, 0.0, 1.0)]
    found = recovery(*given, None, floor=0.95)
    assert found.outcome == ("nothing to recover" if topics == 1 else "inconclusive")


def test_an_adapter_that_harms_has_nothing_to_recover() -> None:
    """A negative gain over a negative gain would be a share of one."""
    found = recovery(scores(BASE + GAINS), scores(BASE), scores(BASE + GAINS), None, floor=0.95)
    assert found.outcome == "nothing to recover"


def test_the_control_tells_loss_of_the_model_from_loss_of_the_adapter() -> None:
    """Quantising cost every token a nat, the control too: the model is worse, the adapter's work is there."""
    found = recovery(scores(BASE - GAINS + 1), scores(BASE), scores(BASE - GAINS), scores(BASE + 1), floor=0.95)
    assert found.outcome == "regressed"
    assert found.attribution is not None
    expected = GAINS.sum() / (GAINS.sum() + 80)
    assert found.attribution.value == pytest.approx(expected)
    assert found.share is not None
    assert found.share.value < found.attribution.value


def test_scores_of_other_rows_are_refused() -> None:
    """A share of another gain means nothing."""
    with pytest.raises(ValueError, match="different rows"):
        recovery(scores(BASE[:40]), scores(BASE), scores(BASE - GAINS), None, floor=0.95)
