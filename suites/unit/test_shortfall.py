"""What differences between codes mean: rounding is told from a delta that is lost, wholly, in part or in one row."""

import pytest

from phase8.quant.classify import By, Effect, Unlike, Worst, describe, outcome_of
from phase8.record.integrity import Outcome

WHOLE = Effect(100_000, 50_000, 1.0, 1.5, 1.0, 0.0, 0.0, 1000.0)
HERE = By("sums in another order")
OTHER = By("bfloat16 weights", here=False)
FEW = Unlike(
    differing=100,
    scales=0,
    far=0,
    far_scales=0,
    short=-0.001,
    kept=1.0,
    against=52,
    along=48,
    lost=50_000,
    lost_scales=0,
    own=80_000,
)


def outcome(**changes: float) -> Outcome:
    """What a hundred codes at ties are, with some of the figures changed."""
    return outcome_of(FEW._replace(**changes), WHOLE, HERE, kept=False)


def test_ties_either_way_are_rounding() -> None:
    """A hundred codes of a hundred thousand, about as many for the delta as against it."""
    assert outcome() == "rounding"


def test_one_thing_that_rounding_does_not_do_is_enough(subtests: pytest.Subtests) -> None:
    """Each alone."""
    for changes in [{"far": 1}, {"far_scales": 1}, {"short": -0.02}, {"short": 0.02}, {"short": float("nan")}]:
        with subtests.test(changes=changes):
            assert outcome(**changes) == "differs"


def test_all_against_the_delta_is_no_rounding_however_few_they_are() -> None:
    """One row's delta lost in a large matrix: a thousandth of the whole, each code at a tie, and all one way."""
    assert outcome(against=100, along=0) == "differs"
    assert outcome(against=0, along=100) == "differs"
    assert outcome(differing=8, against=8, along=0) == "rounding"


def test_scales_that_a_bound_holds_are_rounding() -> None:
    """Another BLAS moves the last bit of a scale and no code."""
    assert outcome(differing=0, scales=40, short=1e-6, against=0, along=0) == "rounding"


def test_what_another_arithmetic_gives_bit_for_bit_is_rounding() -> None:
    """Not equal: that is what is recomputed here."""
    same = FEW._replace(differing=0, scales=0)
    assert outcome_of(same, WHOLE, HERE, kept=False) == "equal"
    assert outcome_of(same, WHOLE, OTHER, kept=False) == "rounding"


def test_a_delta_that_another_arithmetic_cannot_hold_is_missing() -> None:
    """What it gives with the delta and without is the same: that it is there cannot be told from codes."""
    same = FEW._replace(differing=0, scales=0, lost=0, kept=0, short=0)
    assert outcome_of(same, WHOLE._replace(changed=0), OTHER, kept=False) == "adapter missing"


def test_codes_of_the_base_are_no_rounding_of_its_own() -> None:
    """Kept codes are copied."""
    assert outcome_of(FEW, WHOLE, HERE, kept=True) == "differs"


def test_what_a_tiny_delta_changed_is_all_of_it() -> None:
    """Five codes in all, each at a tie: too few for a test of signs, and yet all that there was to lose."""
    lost = FEW._replace(differing=5, against=5, along=0, short=-1e-6, kept=1e-6, lost=5)
    assert outcome_of(lost, WHOLE._replace(changed=0), HERE, kept=False) == "adapter missing"
    nearly = lost._replace(differing=4, against=4, short=-0.8e-6)
    assert outcome_of(nearly, WHOLE._replace(changed=1), HERE, kept=False) == "differs"


def test_where_there_is_no_delta_nothing_can_be_lost() -> None:
    """Ties alone decide."""
    none = Effect(100_000, 100, 0.0, 1.0, 0.0, 0.0, 0.0, 1000.0)
    assert outcome_of(FEW._replace(against=0, along=0, short=0, kept=0), none, HERE, kept=False) == "rounding"


def test_the_worst_expert_counts_and_all_are_listed() -> None:
    """One lost, one weak, one rounded, one equal."""
    sums = [
        (FEW._replace(differing=0), WHOLE),
        (FEW, WHOLE),
        (FEW._replace(far=9), WHOLE._replace(product=0.5)),
        (FEW._replace(own=0), WHOLE._replace(product=0.0)),
    ]
    found = describe("experts.weight", sums, Worst(3.0, 2.0), HERE, stack=True, kept=False)
    assert found["outcome"] == "adapter missing"
    assert (found["experts_missing"], found["experts_differing"]) == ((3,), (1, 2, 3))
    assert found["differing"] == 300
    assert found["delta_share"] == pytest.approx(2.5 / 4)
    assert found["reason"] == "ADAPTER MISSING in expert 3 of 4: the codes are those of the base without the adapter"
