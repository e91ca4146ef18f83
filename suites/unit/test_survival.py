"""The gates on survival and the smallest safe width."""

from typing import Any

import pytest

from phase8.gates import survival as judge_survival
from phase8.gates.outcome import outcome
from phase8.gates.verdicts import GATES, is_good
from phase8.profile.limits import Budgets
from phase8.profile.profile import Profile
from phase8.profile.sections import EarlierThreshold
from phase8.record.integrity import ModuleIntegrity
from phase8.record.ladder import Answer, FolderCheck
from phase8.record.run import Verdict
from phase8.survival import answer as survival
from suites.unit.gates import PROFILE
from suites.unit.ladders import check, estimate, ladder, recovery, rung
from suites.unit.records import loss, record, verdict

NOT_ASKED = {"probes": "info", "determinism": "info", "seconds a query": "not applicable", "tool calls": "new"}
EARLIER = EarlierThreshold(record="the Phase 8 record", fails=4, holds=5)


def profile(*widths: int, earlier: EarlierThreshold | None = None) -> Profile:
    """``pocket`` with these widths."""
    assert PROFILE.fuse is not None
    assert PROFILE.survival is not None
    fuse = PROFILE.fuse.model_copy(update={"widths": widths})
    return PROFILE.model_copy(
        update={"fuse": fuse, "survival": PROFILE.survival.model_copy(update={"earlier": earlier})}
    )


def verdicts(bits: int, statuses: dict[str, str] | None = None, **overrides: Any) -> list[Verdict]:
    """A verdict of every gate on one width, all as they should be but for those given."""
    found = []
    for gate in GATES:
        status = (statuses or {}).get(gate) or NOT_ASKED.get(gate, "pass")
        more: dict[str, Any] = {"measured": 1.0, "samples": 112, "unit": "share", "limit": 0.97, "detail": "told"}
        more |= {"paired": loss()} if gate == "accuracy vs adapter" else {}
        more |= {"measured": 3.5, "unit": "GB", "limit": 2.0, "samples": 1} if gate == "memory" else {}
        found.append(verdict(f"fused-{bits}bit", gate, status, **{**more, **overrides}))
    return found


def answer(*widths: tuple[int, dict[str, str]], of: Profile | None = None) -> Answer:
    """What the ladder answers: each width with the gates that are not as they should be."""
    bits = [width for width, _ in widths]
    given = [one for width, statuses in widths for one in verdicts(width, statuses)]
    return survival.answer(ladder(*map(rung, bits)), given, of or profile(*bits))


def test_the_smallest_width_that_holds_every_gate_is_safe() -> None:
    """5 of 8, 5 and 4; the evidence is given, and why 4 is not."""
    found = answer((8, {}), (5, {}), (4, {"accuracy vs adapter": "fail"}))
    assert (found.smallest, found.safety) == (5, "safe")
    assert found.line == (
        "Smallest safe width: 5 bits (integrity 112 of 112 modules; recovery 100.0 %, floor 97.0 %; canonical 112 of "
        "112; accuracy vs adapter fine: 2 lost, 1 gained of 201 prompts, loss at most 3.1 %)."
    )
    assert found.notes[0].startswith("4 bits: not safe: accuracy vs adapter fails (fine: 2 lost")


def test_each_gate_set_for_production_can_make_a_width_unsafe_and_is_named_with_its_figure(
    subtests: pytest.Subtests,
) -> None:
    """Whatever the role: a candidate's xfail is a failure of what is to be shipped. A missing gate was not measured."""
    said = {"fail": "fails", "xfail": "fails", "missing": "was not measured", "inconclusive": "is inconclusive"}
    safety = {"fails": "not safe", "was not measured": "not measured", "is inconclusive": "not shown to be safe"}
    for gate in GATES:
        for status, words in said.items():
            with subtests.test(gate=gate, status=status):
                found = answer((5, {gate: status}))
                assert found.smallest is None
                assert (found.widths[0].safety, found.safety) == (safety[words], safety[words])
                assert found.line.startswith(f"No judged width is shown to be safe: at 5 bits {gate} {words} (")


def test_three_replies_that_never_end_keep_a_width_from_being_shipped() -> None:
    """A candidate whose recovery, integrity and accuracy are fine, and which has one xfail."""
    cut = [one for one in verdicts(4) if one.gate != "termination"]
    ends = verdict("fused-4bit", "termination", "xfail", measured=79 / 82, samples=82, unit="share", limit=0.97)
    found = survival.answer(ladder(rung(5), rung(4)), [*verdicts(5), *cut, ends], profile(5, 4))
    assert found.smallest == 5
    assert found.notes[0] == "4 bits: not safe: termination fails (79 of 82, limit 97.0 %)."


def test_a_gate_without_a_verdict_is_not_measured() -> None:
    """Nothing is safe because its test was not run; all that lack are named."""
    given = [one for one in verdicts(5) if one.gate in ("integrity", "recovery")]
    found = survival.answer(ladder(rung(5)), given, profile(5))
    assert (found.smallest, found.safety) == (None, "not measured")
    assert "not judged in this run: canonical, held-out, probes" in found.line
    assert survival.answer(ladder(rung(5)), [], profile(5)).safety == "not measured"


def test_a_failure_outweighs_what_was_not_measured_and_that_what_is_open() -> None:
    """The worst of them is what a width is called; all are named, failures first."""
    found = answer((5, {"memory": "fail", "canonical": "inconclusive", "held-out": "missing"}))
    assert found.safety == "not safe"
    assert found.line.index("memory fails") < found.line.index("held-out was not") < found.line.index("canonical is")


def test_what_the_profile_leaves_out_or_only_tells_of_does_not_count_and_is_named() -> None:
    """And calls that nothing was recorded for are no failure."""
    found = answer((5, {}))
    (counted,) = [note for note in found.notes if note.startswith("Counted")]
    asked, left_out = counted.split("Not counted: ")
    assert all(gate in left_out for gate in NOT_ASKED)
    assert "tool calls (no recorded calls to compare with)" in left_out
    assert all(gate in asked for gate in GATES if gate not in NOT_ASKED)
    assert set(found.widths[0].counted) == set(GATES) - set(NOT_ASKED)


@pytest.mark.parametrize("status", ["fail", "inconclusive", "missing"])
def test_a_wider_width_where_a_gate_does_not_hold_keeps_the_narrower_ones_from_being_shipped(status: str) -> None:
    """More bits lose no more: that 4 hold where 8 do not is luck, and both are said."""
    found = answer((8, {"second turn": status}), (5, {}), (4, {}))
    assert found.smallest is None
    assert found.line.startswith("No judged width is shown to be safe: at 8 bits second turn")
    assert "5 bits: every gate holds, but not at 8 bits, which is wider." in found.notes
    between = answer((8, {}), (5, {"second turn": status}), (4, {}))
    assert between.smallest == 8
    assert any(note.startswith("5 bits: ") and "second turn" in note for note in between.notes)
    assert "4 bits: every gate holds, but not at 5 bits, which is wider." in between.notes


@pytest.mark.parametrize("gate", sorted(survival.COST))
def test_what_a_width_costs_counts_for_itself_and_not_for_narrower_ones(gate: str) -> None:
    """A wider model is larger by nature: that 8 bits are over the ceiling says nothing against 5."""
    found = answer((8, {gate: "fail"}), (5, {}))
    assert found.smallest == 5
    assert found.notes[0].startswith(f"8 bits: not safe: {gate} fails (")
    assert answer((8, {}), (5, {gate: "fail"})).smallest == 8


def test_the_fused_floats_are_wider_than_all_and_no_width() -> None:
    """Where the profile judges them, a gate that fails there speaks against every width."""
    floats = rung(None, variant="fused-float")
    fine = [one.model_copy(update={"variant": "fused-float"}) for one in verdicts(8)]
    bad = [one.model_copy(update={"variant": "fused-float"}) for one in verdicts(8, {"termination": "fail"})]
    for given, smallest in ((fine, 5), (bad, None)):
        found = survival.answer(ladder(floats, rung(5)), [*given, *verdicts(5)], profile(5))
        assert found.smallest == smallest
    assert "at fused-float termination fails" in found.line
    alone = survival.answer(ladder(floats), fine, profile())
    assert (alone.smallest, alone.line) == (None, "No judged width is shown to be safe: fused-float is none.")


def test_a_partial_run_says_which_wider_widths_were_not_judged() -> None:
    """Its answer is of those judged."""
    found = answer((5, {}), of=profile(8, 6, 5, 4))
    assert found.smallest == 5
    assert found.line.startswith("Smallest safe width: 5 bits of those judged here (")
    assert found.line.endswith("Wider ones were not judged: 6 and 8 bits.")
    assert "Not judged in this run: 4, 6 and 8 bits." in found.notes
    failing = answer((5, {"memory": "fail"}), of=profile(8, 5))
    assert failing.line.endswith("Wider ones were not judged: 8 bits.")


def test_no_width_at_all_is_said() -> None:
    """A partial run of the adapter."""
    found = survival.answer(ladder(rung(5, judged=False)), verdicts(5), profile(5))
    assert (found.smallest, found.line, found.safety) == (None, "No fused width was judged.", "not measured")


@pytest.mark.parametrize(
    ("four", "five", "said"),
    [
        ({"canonical": "xfail"}, {}, "(4 bits fails, 5 holds) repeats here."),
        ({}, {}, "does not repeat here."),
        ({"canonical": "xfail"}, {"canonical": "fail"}, "does not repeat here."),
        ({"recovery": "inconclusive"}, {}, "cannot be said here (4 bits: not shown to be safe; 5 bits: safe)."),
        ({"recovery": "inconclusive"}, {"canonical": "fail"}, "does not repeat here."),
        ({"canonical": "xfail"}, {"memory": "missing"}, "cannot be said here (4 bits: not safe; 5 bits: not measured)"),
    ],
)
def test_an_earlier_threshold_repeats_or_does_not_or_cannot_be_said(four: dict, five: dict, said: str) -> None:
    """Inconclusive at 4 bits is neither."""
    found = answer((5, five), (4, four), of=profile(5, 4, earlier=EARLIER))
    assert said in found.notes[-1]
    assert found.notes[-1].startswith("The threshold of the Phase 8 record (4 bits fails, 5 holds)")


def test_an_earlier_threshold_of_a_width_that_was_not_judged_cannot_be_said() -> None:
    """In a partial run."""
    found = answer((5, {}), of=profile(5, 4, earlier=EARLIER))
    assert "cannot be said here (4 bits: not measured; 5 bits: safe)" in found.notes[-1]


def test_nothing_is_said_of_an_earlier_threshold_that_the_profile_does_not_name() -> None:
    """A user's models have nothing to do with ours."""
    found = answer((5, {}), (4, {}))
    assert not [note for note in found.notes if "repeat" in note]


def test_a_control_width_is_judged_as_what_would_be_shipped() -> None:
    """What is only told of a control would be a failure."""
    told = [one.model_copy(update={"role": "control", "status": "info"}) for one in verdicts(4)]
    told = [one.model_copy(update={"as_production": "fail" if one.gate == "canonical" else "pass"}) for one in told]
    control = verdict("fused-4bit", "control", "pass", role="control")
    found = survival.answer(ladder(rung(5), rung(4)), [*verdicts(5), *told, control], profile(5, 4))
    assert found.smallest == 5
    assert found.notes[0].startswith("4 bits: not safe: canonical fails (")


@pytest.mark.parametrize(
    ("outcome_", "status"),
    [("equal", "pass"), ("rounding", "pass"), ("differs", "fail"), ("missing", "fail"), ("width", "fail")],
)
def test_a_folder_that_another_machine_rounded_has_lost_nothing(outcome_: Any, status: str) -> None:
    """What differs from bits beyond rounding fails."""
    found = judge_survival.integrity("fused-5bit", "production", check(outcome=outcome_, equal=100))
    assert found.status == status


def test_a_reference_that_is_not_shown_to_hold_leaves_recovery_inconclusive() -> None:
    """It may have kept the gain, or not: nothing is measured from it, and nothing failed."""
    open_one = recovery(share=estimate(0.94, 0.9, 0.98), attribution=None, outcome="reference not shown")
    found = judge_survival.recovery("fused-5bit", "production", open_one, Budgets())
    assert found.status == "inconclusive"
    assert found.detail.startswith("reference not shown: the model that recovery is measured from has itself 94.0% of")


def test_integrity_names_the_module_that_lost_its_delta() -> None:
    """And fails."""
    fault = ModuleIntegrity(
        path="model.layers.3.mlp.up_proj", layer=3, name="mlp.up_proj", experts=None, touched=True,
        outcome="adapter missing", reason="the codes are the base's alone",
    )  # fmt: skip
    found = judge_survival.integrity(
        "fused-5bit", "production", check(outcome="adapter missing", equal=111, faults=(fault,))
    )
    assert found.status == "fail"
    assert "model.layers.3.mlp.up_proj: adapter missing" in found.detail


def test_integrity_up_to_rounding_passes_and_says_so() -> None:
    """A folder fused on another machine is not red; only what is wrong besides is a failure."""
    one = ModuleIntegrity(
        path="model.layers.3.mlp.up_proj", layer=3, name="mlp.up_proj", experts=None, touched=True,
        outcome="rounding", arithmetic="bfloat16 weights", reason="rounding: all within the bounds",
    )  # fmt: skip
    found = judge_survival.integrity(
        "fused-5bit", "production", check(outcome="rounding", equal=111, rounding=1, faults=(one,))
    )
    assert (found.status, found.measured, found.failures) == ("pass", 1.0, ())
    assert found.detail.startswith(
        "111 of 112 modules are bit for bit what base and adapter give, 1 but for rounding; model.layers.3.mlp.up_proj"
    )
    lost = one.model_copy(update={"path": "lost", "outcome": "differs"})
    found = judge_survival.integrity(
        "fused-5bit", "production", check(outcome="differs", equal=110, rounding=1, faults=(lost, one))
    )
    assert (found.status, found.failures) == ("fail", ("lost",))


@pytest.mark.parametrize("found", [None, check(unchanged=False)])
def test_a_folder_that_was_not_compared_as_it_is_now_is_missing(found: FolderCheck | None) -> None:
    """Never a pass."""
    assert judge_survival.integrity("fused-5bit", "production", found).status == "missing"


def test_recovery_passes_by_its_lower_bound() -> None:
    """The bound is shown beside the share."""
    found = judge_survival.recovery("fused-5bit", "production", recovery(), Budgets())
    assert found.status == "pass"
    assert "95 % 98.9% to 100.2%" in found.detail


def test_recovery_below_the_floor_fails_and_undecided_holds_the_run_up() -> None:
    """Exit codes 1 and 3."""
    low = recovery(share=estimate(0.6, 0.5, 0.7), outcome="regressed")
    open_one = recovery(share=estimate(0.94, 0.92, 0.96), outcome="inconclusive")
    found = [judge_survival.recovery("fused-5bit", "production", one, Budgets()) for one in (low, open_one)]
    assert [outcome(record(verdicts=(one,))).exit_code for one in found] == [1, 3]


def test_nothing_to_recover_is_not_a_pass() -> None:
    """An adapter that gains nothing on the rows cannot be shown to survive on them."""
    found = judge_survival.recovery(
        "fused-5bit", "production", recovery(share=None, attribution=None, outcome="nothing to recover"), Budgets()
    )
    assert found.status == "inconclusive"
    assert not is_good(found)
    assert judge_survival.recovery("fused-5bit", "production", None, Budgets()).status == "missing"


def test_a_reference_that_lost_the_adapter_fails_what_is_measured_from_it() -> None:
    """And says that the fault is not the variant's."""
    lost = recovery(share=estimate(0.5, 0.4, 0.6), attribution=None, outcome="reference lost")
    found = judge_survival.recovery("fused-5bit", "production", lost, Budgets())
    assert found.status == "fail"
    assert found.detail.startswith("reference lost: the model that recovery is measured from has itself 50.0% of it")


def test_rows_of_one_topic_are_named_as_the_reason() -> None:
    """Not an adapter that gains nothing."""
    one = recovery(share=None, attribution=None, outcome="nothing to recover", gain=estimate(1.7))
    assert "all rows are of one topic" in judge_survival.recovery("fused-5bit", "production", one, Budgets()).detail


@pytest.mark.parametrize(
    ("kind", "has", "said"),
    [("fused", False, "no [survival]"), ("base", True, "trained on"), ("ready", True, "not fused here")],
)
def test_what_survival_is_not_asked_of_is_said_by_name(kind: str, has: bool, said: str) -> None:
    """Not applicable, with the reason."""
    why = judge_survival.judged_reason(kind, "mine", has)
    assert said in why
    assert judge_survival.integrity("mine", "production", None, why).status == "not applicable"
