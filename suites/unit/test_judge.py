"""The gates on replies: what passes, what fails, and what is never a pass."""

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import pytest

from phase8.cases.cases import Case
from phase8.gates import replies as judge
from phase8.gates.outcome import outcome
from phase8.gates.replies import Evidence
from phase8.profile.limits import Budgets
from phase8.profile.terms import Role
from phase8.record.run import Reply, Status, Verdict
from suites.unit.records import canonical, held_out, probes, record, reply, verdict

DEFAULTS = Budgets()


def case(of: Reply) -> Case:
    """The case that a reply answers."""
    return Case(id=of.case, suite=of.suite, turn=of.turn, label=of.label, query=of.query, messages=())


def evidence(
    replies: Sequence[Reply],
    role: Role = "production",
    asked: Sequence[Reply] | None = None,
    budgets: Budgets = DEFAULTS,
) -> Evidence:
    """Replies to judge; ``asked`` are the replies that there should be."""
    cases = tuple(case(one) for one in (replies if asked is None else asked))
    return Evidence(variant="tuned", role=role, cases=cases, replies=tuple(replies), budgets=budgets)


SHARES = {
    judge.canonical: "orm-or-sql",
    judge.held_out: "held-out-00",
    judge.probes: "probe-00",
    judge.over_calls: "held-out-02",
    judge.under_calls: "held-out-00",
    judge.second_turn: "row",
    judge.termination: "row",
}


def test_a_missing_reply_is_missing_and_never_a_pass(subtests: pytest.Subtests) -> None:
    """Not even where all the others are right."""
    for role in get_args(Role):
        for gate, lost in SHARES.items():
            with subtests.test(gate=gate, lost=lost, role=role):
                asked = [*canonical(), *held_out(), *probes(), reply("row", "direct", suite="held-out", turn=2)]
                assert gate(evidence([one for one in asked if one.case != lost], role, asked=asked)).status == "missing"


def test_a_gate_without_prompts_is_not_applicable(subtests: pytest.Subtests) -> None:
    """It says so by name; it does not pass with nothing measured."""
    for gate in SHARES:
        with subtests.test(gate=gate):
            found = gate(evidence([]))
            assert (found.status, found.measured) == ("not applicable", None)


def test_only_production_can_fail_a_gate(subtests: pytest.Subtests) -> None:
    """A candidate is expected to fail, a control is told about."""
    cases: list[tuple[Role, int, Status]] = [
        ("production", 5, "pass"),
        ("production", 4, "fail"),
        ("candidate", 5, "xpass"),
        ("candidate", 4, "xfail"),
        ("control", 5, "info"),
        ("control", 4, "info"),
    ]
    for role, right, status in cases:
        with subtests.test(role=role, right=right, status=status):
            assert judge.canonical(evidence(canonical(right), role)).status == status


def test_a_failing_share_names_its_cases_and_how_sure_it_is() -> None:
    """Three of five is anything from 14.7 to 94.7 %."""
    found = judge.canonical(evidence(canonical(3)))
    assert found.failures == ("async-await", "orm-or-sql")
    assert found.interval is not None
    assert (round(found.interval.low, 3), round(found.interval.high, 3)) == (0.147, 0.947)
    assert (found.measured, found.limit, found.samples) == (0.6, 1.0, 5)


def test_a_share_at_its_limit_passes() -> None:
    """At least 90 % of twenty are eighteen."""
    assert judge.held_out(evidence(held_out(18))).status == "pass"
    assert judge.held_out(evidence(held_out(17))).status == "fail"


def test_a_reply_to_another_turn_or_suite_does_not_count() -> None:
    """The same id is used in both turns."""
    first, second = (reply("row", "direct", suite="held-out", turn=turn) for turn in (1, 2))
    assert judge.second_turn(evidence([first], asked=[first, second])).status == "missing"
    assert judge.held_out(evidence([second], asked=[first, second])).status == "missing"


def test_each_decision_counts_where_it_is_documented(subtests: pytest.Subtests) -> None:
    """An attempt at a call is an over-call, a malformed one is no under-call; an empty reply is never right."""
    for label, decision, over, under, right in [
        ("direct", "answer", 0, None, True),
        ("direct", "call", 1, None, False),
        ("direct", "malformed", 1, None, False),
        ("direct", "empty", 0, None, False),
        ("tool", "call", None, 0, True),
        ("tool", "answer", None, 1, False),
        ("tool", "empty", None, 1, False),
        ("tool", "malformed", None, 0, False),
    ]:
        with subtests.test(label=label, decision=decision, over=over, under=under, right=right):
            found = evidence([reply("row", label, suite="held-out", decision=decision)])
            assert judge.over_calls(found).measured == over
            assert judge.under_calls(found).measured == under
            assert judge.held_out(found).measured == right


def test_hard_probes_do_not_count_for_termination() -> None:
    """Some ask for prose of any length; the probes gate tells how many did not end."""
    endless = reply("p", "direct", suite="probe", finish="length")
    found = evidence([*canonical(), endless])
    assert (judge.termination(found).status, judge.termination(found).samples) == ("pass", 5)
    assert "1 did not end at the stop sequence" in judge.probes(found).detail


@pytest.mark.parametrize("role", ["production", "candidate", "control"])
def test_hard_probes_are_told_about_where_the_profile_sets_no_limit(role: Role) -> None:
    """Every variant gets its share, interval and matrix, and nobody fails."""
    found = judge.probes(evidence(probes(4), role))
    assert (found.status, found.measured, found.limit, found.samples) == ("info", pytest.approx(4 / 6), None, 6)
    assert found.interval is not None
    assert "of 4 tool: 3 call, 1 answer, 0 malformed, 0 empty" in found.detail
    assert "wanted" not in found.detail
    assert found.failures == ("probe-04", "probe-05")


@pytest.mark.parametrize(("right", "status"), [(6, "pass"), (4, "fail")])
def test_hard_probes_are_judged_where_the_profile_sets_a_limit(right: int, status: Status) -> None:
    """Then they are a gate like the others."""
    found = judge.probes(evidence(probes(right), budgets=Budgets(probes=0.8)))
    assert (found.status, found.limit) == (status, 0.8)


def against(ours: Sequence[Reply], role: Role = "production", name: str = "tuned", **budgets: Any) -> Verdict:
    """The verdict against an adapter that is right everywhere."""
    theirs = [*held_out(40, of=40), *probes(60, of=60)]
    mine = evidence(ours, role, asked=theirs, budgets=Budgets(**budgets)).model_copy(update={"variant": name})
    adapter = evidence(theirs).model_copy(update={"variant": "adapter"})
    return judge.accuracy_vs_adapter(mine, adapter, [mine] if role == "production" else [])


@cache
def same() -> list[Reply]:
    """A hundred replies, all right."""
    return [*held_out(40, of=40), *probes(60, of=60)]


LOST_2 = [*held_out(40, of=40), *probes(58, of=60)]


LOST_9 = [*held_out(40, of=40), *probes(51, of=60)]


def test_accuracy_against_the_adapter_has_three_verdicts(subtests: pytest.Subtests) -> None:
    """Nothing of 100 lost is fine, two are open, nine are a regression."""
    cases: list[tuple[Any, Role, Status]] = [
        (same(), "production", "pass"),
        (LOST_2, "production", "inconclusive"),
        (LOST_9, "production", "fail"),
        (same(), "candidate", "xpass"),
        (LOST_2, "candidate", "inconclusive"),
        (LOST_9, "candidate", "xfail"),
        (LOST_2, "control", "info"),
        (LOST_9, "control", "info"),
    ]
    for ours, role, status in cases:
        with subtests.test(ours=ours, role=role, status=status):
            found = against(ours, role)
            assert found.status == status, found.detail


def test_a_loss_names_its_prompts_and_its_figures() -> None:
    """What was lost, how likely that is chance, and how much it may be."""
    found = against(LOST_9)
    assert found.paired is not None
    assert found.failures == found.paired.lost == tuple(f"probe-{i}" for i in range(51, 60))
    assert (found.measured, found.limit, found.samples, found.paired.p) == (0.09, 0.05, 100, 2**-9)
    assert "held-out 0 lost, 0 gained of 40; probe 9 lost, 0 gained of 60" in found.detail


@pytest.mark.parametrize("missing", ["adapter", "variant"])
def test_a_prompt_that_one_side_did_not_reply_to_is_missing(missing: str) -> None:
    """Names are compared before numbers."""
    whole, short = evidence(same()), evidence(same()[1:], asked=same())
    mine, adapter = (whole, short) if missing == "adapter" else (short, whole)
    found = judge.accuracy_vs_adapter(mine, adapter, [mine])
    assert (found.status, found.measured) == ("missing", None)
    assert found.detail.startswith("1 of 100 prompts")


@pytest.mark.parametrize(("name", "why"), [("adapter", "adapter itself"), ("base", "was trained on")])
def test_the_adapter_and_its_base_are_not_compared(name: str, why: str) -> None:
    """One is the reference, the other what the adapter was to change."""
    found = against(same(), name=name)
    assert found.status == "not applicable"
    assert why in found.detail


def test_without_an_adapter_there_is_nothing_to_compare_with() -> None:
    """Ready folders alone, or a profile without held-out prompts and probes."""
    assert judge.accuracy_vs_adapter(evidence(same()), None, []).status == "not applicable"
    assert judge.accuracy_vs_adapter(evidence(canonical()), evidence(canonical()), []).status == "not applicable"


def test_a_variant_with_missing_replies_still_counts_for_holm() -> None:
    """Leaving it out of the family would make it easier for the others to regress."""
    five = [*held_out(40, of=40), *probes(55, of=60)]
    mine, adapter = evidence(five), evidence(same())
    broken = evidence(same()[1:], asked=same()).model_copy(update={"variant": "other"})
    alone = judge.accuracy_vs_adapter(mine, adapter, [mine])
    among = judge.accuracy_vs_adapter(mine, adapter, [mine, broken])
    assert (alone.status, among.status) == ("fail", "inconclusive")
    assert "after Holm over 2 variants 0.0625" in among.detail


def test_the_profile_says_which_inconclusive_gate_holds_up_the_run() -> None:
    """Without a word of it the paired comparison does not."""
    blocking = against(LOST_2, inconclusive_blocks=("accuracy vs adapter",))
    codes = [outcome(record(verdicts=(verdict(), one))).exit_code for one in (against(LOST_2), blocking)]
    assert codes == [0, 3]


@pytest.mark.parametrize("change", [{"finish": "length"}, {"after_stop": "<|im_end|>and more"}])
def test_a_reply_that_does_not_end_at_the_stop_sequence_fails_termination(change: dict[str, Any]) -> None:
    """The token limit is no end, and text after the stop sequence is none either."""
    found = judge.termination(evidence([*canonical()[:4], reply("orm-or-sql", "direct", **change)]))
    assert (found.status, found.failures) == ("fail", ("orm-or-sql",))


def test_a_control_that_fails_discrimination_passes_its_gate() -> None:
    """One of the two suites is enough to catch it."""
    assert judge.control(evidence([*canonical(2), *held_out(20)], "control")).status == "pass"
    assert judge.control(evidence([*canonical(5), *held_out(3)], "control")).status == "pass"


def test_a_control_that_passes_discrimination_fails_its_gate() -> None:
    """Then the gate can tell nothing, and the run fails."""
    found = judge.control(evidence([*canonical(), *held_out()], "control"))
    assert (found.status, found.role) == ("fail", "control")
    assert outcome(record(verdicts=(found,))).exit_code == 1


def test_a_control_without_replies_or_prompts_is_missing() -> None:
    """It was not caught: nobody looked."""
    assert judge.control(evidence([], "control", asked=canonical())).status == "missing"
    assert judge.control(evidence([], "control")).status == "missing"
    assert judge.control(evidence(canonical(2), "control", asked=[*canonical(), *held_out()])).status == "missing"
