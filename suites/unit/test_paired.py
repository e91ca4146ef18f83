"""A variant against the live adapter on the same prompts."""

import pytest

from phase8.cases.cases import Case
from phase8.gates.paired_loss import (
    Pair,
    Unpaired,
    adjusted,
    compared_cases,
    match,
    paired_loss,
    upper_bound,
)
from phase8.record.run import Reply
from suites.unit.records import held_out, probes, reply


def case(of: Reply) -> Case:
    """The case that a reply answers."""
    return Case(
        id=of.case, suite=of.suite, turn=of.turn, label=of.label, query=of.query, messages=(), group=of.group or of.case
    )


def pairs(lost: int = 0, gained: int = 0, of: int = 201) -> list[Pair]:
    """Pairs of which the first are lost, the next gained, and the rest right on both sides."""
    replies = held_out(of=of)
    outcomes = [(True, False)] * lost + [(False, True)] * gained + [(True, True)] * (of - lost - gained)
    return [
        Pair(case=case(one), reference_right=theirs, right=ours)
        for one, (theirs, ours) in zip(replies, outcomes, strict=True)
    ]


def test_first_turns_of_held_out_prompts_and_probes_are_compared() -> None:
    """The canonical queries were chosen, and a second turn repeats its first."""
    asked = [*held_out(of=2), *probes(of=3), reply(), reply("held-out-00", "direct", suite="held-out", turn=2)]
    found = compared_cases([case(one) for one in asked])
    assert [(one.suite, one.turn) for one in found] == [("held-out", 1)] * 2 + [("probe", 1)] * 3


def test_a_prompt_without_both_replies_is_not_compared_around() -> None:
    """A comparison of the rest would hide what was not measured."""
    replies = held_out(of=5)
    cases = [case(one) for one in replies]
    assert match(cases, replies, replies[1:]) == Unpaired(missing=1, asked=5)
    assert match(cases, replies[:3], replies) == Unpaired(missing=2, asked=5)


def test_a_prompt_is_lost_where_only_the_reference_is_right() -> None:
    """Gained where only the variant is; both right or both wrong says nothing."""
    reference, variant = held_out(2, of=3), (*held_out(1, of=2), *held_out(3, of=3)[2:])
    found = match([case(one) for one in reference], reference, variant)
    assert not isinstance(found, Unpaired)
    assert [pair.loss for pair in found] == [0, 1, -1]
    outcome = paired_loss("tuned", found, {}, 0.05)
    assert (outcome.lost, outcome.gained, outcome.loss) == (("held-out-01",), ("held-out-02",), 0.0)


def test_losing_nothing_of_201_prompts_is_fine_with_an_exact_bound() -> None:
    """A bootstrap of zeros would say 0; 201 prompts leave 1.5 %."""
    found = paired_loss("tuned", pairs(), {"tuned": 1.0}, 0.05)
    assert (found.outcome, found.bound_method, found.loss) == ("fine", "exact", 0.0)
    assert found.bound == pytest.approx(0.0153, abs=5e-5)


def test_losing_nothing_of_few_prompts_is_inconclusive() -> None:
    """Not being able to show a loss is not the same as showing that there is none."""
    found = paired_loss("tuned", pairs(of=20), {"tuned": 1.0}, 0.05)
    assert (found.outcome, found.p) == ("inconclusive", 1.0)
    assert found.bound > 0.1


def test_losing_many_prompts_is_a_regression() -> None:
    """Ten lost and none gained are one chance in 1,024."""
    found = paired_loss("tuned", pairs(lost=10), {"tuned": 2**-10}, 0.05)
    assert (found.outcome, found.p) == ("regressed", 2**-10)


def test_a_regression_is_told_before_a_loss_that_is_small_enough() -> None:
    """Shown to be worse and shown to be little worse are both true; the first is the news."""
    found = paired_loss("tuned", pairs(lost=10), {"tuned": 2**-10}, 0.5)
    assert (found.outcome, found.bound < 0.5) == ("regressed", True)


def test_as_many_gained_as_lost_is_no_regression() -> None:
    """Six of 201 each way: nothing is shown to be lost."""
    found = paired_loss("tuned", pairs(lost=6, gained=6), {"tuned": 0.6}, 0.05)
    assert found.outcome != "regressed"
    assert found.p == pytest.approx(0.6128, abs=5e-5)


def test_holm_over_several_variants_takes_more_to_regress() -> None:
    """Five lost is p = 0.031 alone and 0.094 among three."""
    alone = paired_loss("a", pairs(lost=5), {"a": 0.03125}, 0.01)
    among = paired_loss("a", pairs(lost=5), {"a": 0.03125, "b": 1.0, "c": 0.5}, 0.01)
    assert (alone.outcome, among.outcome) == ("regressed", "inconclusive")
    assert (among.adjusted_p, among.family) == (0.09375, 3)


def test_a_variant_outside_the_family_keeps_its_own_p() -> None:
    """A candidate is no production variant, and costs them nothing."""
    assert adjusted("candidate", 0.03, {"a": 0.5, "b": 0.2}) == 0.03


@pytest.mark.parametrize(
    ("shared", "method"), [({"group": "one"}, "bootstrap by topic"), ({"phrasing": "x"}, "bootstrap by phrasing")]
)
def test_prompts_that_fall_together_are_no_independent_evidence(shared: dict[str, str], method: str) -> None:
    """Four lost prompts of one topic or phrasing may be one fault, so the bound is wider."""
    apart = pairs(lost=4, of=100)
    together = [
        pair.model_copy(update={"case": pair.case.model_copy(update=shared)}) if pair.loss else pair for pair in apart
    ]
    assert upper_bound(together)[0] > upper_bound(apart)[0]
    assert upper_bound(together)[1] == method


def test_each_suite_is_counted_apart() -> None:
    """A loss on the probes must not be read as one on the held-out split."""
    reference = (*held_out(of=4), *probes(of=6))
    variant = (*held_out(of=4), *probes(4, of=6))
    found = match([case(one) for one in reference], reference, variant)
    assert not isinstance(found, Unpaired)
    held, hard = paired_loss("tuned", found, {}, 0.05).suites
    assert (held.suite, held.prompts, held.right, held.reference_right, held.lost) == ("held-out", 4, 4, 4, 0)
    assert (hard.suite, hard.prompts, hard.right, hard.reference_right, hard.lost) == ("probe", 6, 4, 6, 2)


def test_the_same_replies_give_the_same_bound() -> None:
    """A verdict does not change when it is judged again."""
    assert paired_loss("a", pairs(lost=3, gained=1), {}, 0.05) == paired_loss("a", pairs(lost=3, gained=1), {}, 0.05)
