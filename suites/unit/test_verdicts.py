"""What verdicts mean for a test and for the run; that every gate can fail."""

from collections.abc import Callable
from typing import get_args

import pytest

from phase8.cases.cases import Case
from phase8.gates import measured as judge_measured
from phase8.gates import replies as judge
from phase8.gates import survival as judge_survival
from phase8.gates.determinism import determinism
from phase8.gates.outcome import outcome
from phase8.gates.replies import Evidence
from phase8.gates.tool_calls import Compared, tool_calls
from phase8.gates.verdicts import CONTROL, GATES, absent, as_production, is_good, not_applicable, status_of
from phase8.profile.limits import Budgets, LatencyBudget, MemoryBudget
from phase8.profile.terms import Role
from phase8.record.run import Agreement, Verdict
from suites.unit import audits, records
from suites.unit.gates import PROFILE
from suites.unit.ladders import check, estimate, recovery
from suites.unit.records import record, verdict


def test_the_exit_code_follows_from_the_verdicts(subtests: pytest.Subtests) -> None:
    """Failed or empty is 1, inconclusive 3; a failure outweighs what is open."""
    for statuses, code in [
        ([], 1),
        (["pass"], 0),
        (["pass", "xfail", "xpass", "new", "info", "not applicable"], 0),
        (["pass", "missing"], 1),
        (["pass", "fail"], 1),
        (["pass", "inconclusive"], 3),
        (["fail", "inconclusive"], 1),
    ]:
        with subtests.test(statuses=statuses, code=code):
            run = record(verdicts=tuple(verdict(status=status) for status in statuses))
            assert outcome(run).exit_code == code


def test_synthetic_controls_alone_judge_nothing() -> None:
    """They are in every run, whatever became of its models."""
    controls = [verdict(variant=name, role="control") for name in ("always-call", "always-direct")]
    found = outcome(record(verdicts=(*controls, verdict(status="not applicable"), verdict(status="new"))))
    assert (found.exit_code, found.reasons) == (1, ("nothing was judged",))


def test_a_candidate_that_is_inconclusive_does_not_hold_up_the_run() -> None:
    """It could not have failed the run either."""
    assert outcome(record(verdicts=(verdict(), verdict(status="inconclusive", role="candidate")))).exit_code == 0


def test_the_reasons_name_variant_gate_and_status() -> None:
    """One line each, for the verdict file."""
    found = outcome(record(verdicts=(verdict(), verdict(gate="memory", status="missing", detail="not measured"))))
    assert found.reasons == ("fused-5bit: memory: missing: not measured",)


def test_what_was_owed_and_not_judged_is_named_as_missing() -> None:
    """Names are compared before numbers."""
    owed: list[tuple[str, Role, str]] = [
        ("fused-5bit", "production", "held-out"),
        ("fused-4bit", "candidate", "memory"),
    ]
    found = absent(owed, [verdict(gate="held-out"), verdict(gate="memory")])
    assert [(one.variant, one.role, one.gate, one.status) for one in found] == [
        ("fused-4bit", "candidate", "memory", "missing")
    ]


def test_what_a_test_broke_with_is_in_the_missing_verdict() -> None:
    """On one line: an error, or a warning that is made one."""
    errors = {("fused-5bit", "memory"): "DeprecationWarning: this is\ngoing away"}
    (found,) = absent([("fused-5bit", "production", "memory")], [], errors)
    assert found.detail == "no verdict: its test did not get that far: DeprecationWarning: this is going away"


def test_an_expected_failure_does_not_pass_its_test() -> None:
    """pytest must see it fail to report it as expected."""
    assert not is_good(verdict(status="xfail"))
    assert not any(is_good(verdict(status=status)) for status in ("fail", "missing", "inconclusive"))


BUDGETS = Budgets(
    probes=0.5,
    latency=LatencyBudget(
        reference_machine="Apple M1 Max", seconds_per_query={"x": 1.0}, relative_to="base", max_decode_ratio=1.5
    ),
    memory=MemoryBudget(judged="mlx_peak", ceiling_gb=1.0),
)
AUDITED = PROFILE.model_copy(update={"budgets": Budgets(deterministic=1.0)})


def evidence(replies: tuple, role: Role = "production") -> Evidence:
    """A variant's replies to the prompts that they are replies to."""
    return Evidence(variant="x", role=role, cases=tuple(map(case_of, replies)), replies=replies, budgets=BUDGETS)


def second_turns(right: bool) -> tuple:
    """Two second turns of held-out prompts."""
    return tuple(records.reply(f"row-{i}", "direct", right=right, suite="held-out", turn=2) for i in range(2))


def endless() -> tuple:
    """Canonical replies that all run to the token limit."""
    return tuple(one.model_copy(update={"finish": "length"}) for one in records.canonical())


def timed(*values: float) -> dict:
    """Seconds a token, and a query."""
    return {"token_s": records.samples(*values, unit="s"), "query_s": records.samples(*values, unit="s")}


def compared(wrong: int, role: Role) -> Verdict:
    """100 held-out prompts of which only the adapter got ``wrong`` right."""
    adapter, mine = (evidence(records.held_out(100 - lost, of=100), role) for lost in (0, wrong))
    return judge.accuracy_vs_adapter(mine, adapter, [mine])


# Of every gate: its verdict where what it measures is bad, and where it is good.
Judged = Callable[[Role], Verdict]
INPUTS: dict[str, tuple[Judged, Judged]] = {
    "canonical": (
        lambda role: judge.canonical(evidence(records.canonical(4), role)),
        lambda role: judge.canonical(evidence(records.canonical(5), role)),
    ),
    "held-out": (
        lambda role: judge.held_out(evidence(records.held_out(10), role)),
        lambda role: judge.held_out(evidence(records.held_out(20), role)),
    ),
    "probes": (
        lambda role: judge.probes(evidence(records.probes(2), role)),
        lambda role: judge.probes(evidence(records.probes(6), role)),
    ),
    "accuracy vs adapter": (lambda role: compared(20, role), lambda role: compared(0, role)),
    "integrity": (
        lambda role: judge_survival.integrity("x", role, check(outcome="differs", equal=100)),
        lambda role: judge_survival.integrity("x", role, check()),
    ),
    "recovery": (
        lambda role: judge_survival.recovery(
            "x", role, recovery(share=estimate(0.5, 0.4, 0.6), outcome="regressed"), BUDGETS
        ),
        lambda role: judge_survival.recovery("x", role, recovery(), BUDGETS),
    ),
    "over-calls": (
        lambda role: judge.over_calls(evidence(records.held_out(2), role)),
        lambda role: judge.over_calls(evidence(records.held_out(20), role)),
    ),
    "under-calls": (
        lambda role: judge.under_calls(evidence(records.held_out(2), role)),
        lambda role: judge.under_calls(evidence(records.held_out(20), role)),
    ),
    "second turn": (
        lambda role: judge.second_turn(evidence(second_turns(False), role)),
        lambda role: judge.second_turn(evidence(second_turns(True), role)),
    ),
    "termination": (
        lambda role: judge.termination(evidence(endless(), role)),
        lambda role: judge.termination(evidence(records.canonical(), role)),
    ),
    "kernel agreement": (
        lambda role: judge_measured.kernel_agreement("x", role, Agreement(same=4, compared=5)),
        lambda role: judge_measured.kernel_agreement("x", role, Agreement(same=5, compared=5)),
    ),
    "determinism": (
        lambda role: determinism("adapter", role, AUDITED, audits.audit(audits.prompt("view-functions", "cold"))),
        lambda role: determinism("adapter", role, AUDITED, audits.audit()),
    ),
    "seconds a query": (
        lambda role: judge_measured.seconds_a_query("x", role, timed(2.0, 2.1), BUDGETS, records.environment()),
        lambda role: judge_measured.seconds_a_query("x", role, timed(0.2, 0.1), BUDGETS, records.environment()),
    ),
    "decode ratio": (
        lambda role: judge_measured.decode_ratio("x", role, timed(*[2.0] * 9), timed(*[1.0] * 9), BUDGETS),
        lambda role: judge_measured.decode_ratio("x", role, timed(*[1.0] * 9), timed(*[1.0] * 9), BUDGETS),
    ),
    "memory": (
        lambda role: judge_measured.memory("x", role, records.memory(), BUDGETS),
        lambda role: judge_measured.memory("x", role, records.memory(mlx_peak_bytes=10**8), BUDGETS),
    ),
    "tool calls": (
        lambda role: tool_calls("x", role, Compared(outcome="changed", file="calls.json"), "accept"),
        lambda role: tool_calls("x", role, Compared(outcome="as recorded", file="calls.json"), "accept"),
    ),
    CONTROL: (
        lambda role: judge.control(evidence((*records.canonical(), *records.held_out()), role)),
        lambda role: judge.control(evidence(records.canonical(2), role)),
    ),
}


def case_of(reply):
    """The prompt that a reply answers."""
    return Case(
        id=reply.case, suite=reply.suite, turn=reply.turn, label=reply.label, query=reply.query, messages=(),
        group=reply.group, phrasing=reply.phrasing, category=reply.category, unseen=reply.unseen,
    )  # fmt: skip


def test_every_gate_can_fail_and_can_pass(subtests: pytest.Subtests) -> None:
    """A check that cannot fail proves nothing; a gate without an input that makes it fail is not in this table."""
    assert set(INPUTS) == {*GATES, CONTROL}
    for gate, (bad, good) in INPUTS.items():
        with subtests.test(gate=gate):
            found = [judged("production") for judged in (bad, good)]
            assert [one.gate for one in found] == [gate, gate]
            assert [one.status for one in found] == ["fail", "pass"]


def test_what_a_gate_means_for_production_does_not_depend_on_the_role(subtests: pytest.Subtests) -> None:
    """A candidate's xfail, and what is only told of a control, would be a failure."""
    for gate, inputs in INPUTS.items():
        for role in get_args(Role) if gate != CONTROL else ():
            with subtests.test(gate=gate, role=role):
                assert [judged(role).as_production for judged in inputs] == ["fail", "pass"]


def test_a_status_of_before_still_says_what_it_means_for_production() -> None:
    """But for a control, of which nothing can be said."""
    found = {s: as_production(verdict(status=s)) for s in ("pass", "xpass", "xfail", "inconclusive", "missing", "info")}
    assert found == {
        "pass": "pass",
        "xpass": "pass",
        "xfail": "fail",
        "inconclusive": "inconclusive",
        "missing": "missing",
        "info": None,
    }


def test_what_this_run_alone_leaves_out_is_missing_for_whoever_ships() -> None:
    """It is not what the profile does not ask for."""
    assert as_production(not_applicable("x", "production", "memory", "no ceiling")) is None
    left_out = not_applicable("x", "production", "decode ratio", "no base here", set_for_production=True)
    assert (left_out.status, as_production(left_out)) == ("not applicable", "missing")


def test_three_valued_outcomes_stay_three_valued_for_every_role(subtests: pytest.Subtests) -> None:
    """Inconclusive is neither a pass nor a failure; of a control all is told."""
    for role, statuses in {
        "production": ["pass", "fail", "inconclusive"],
        "candidate": ["xpass", "xfail", "inconclusive"],
        "control": ["info", "info", "info"],
    }.items():
        with subtests.test(role=role):
            found = [status_of(role, one) for one in ("pass", "fail", "inconclusive")]
            assert found == statuses
