"""What verdicts mean for a test and for the run."""

import pytest

from harness.profile import Role
from harness.verdicts import absent, is_good, outcome
from suites.unit.records import verdict


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
            assert outcome([verdict(status=status) for status in statuses])[0] == code


def test_synthetic_controls_alone_judge_nothing() -> None:
    """They are in every run, whatever became of its models."""
    controls = [verdict(variant=name, role="control") for name in ("always-call", "always-direct")]
    assert outcome([*controls, verdict(status="not applicable"), verdict(status="new")]) == (1, ("nothing was judged",))


def test_a_candidate_that_is_inconclusive_does_not_hold_up_the_run() -> None:
    """It could not have failed the run either."""
    assert outcome([verdict(), verdict(status="inconclusive", role="candidate")])[0] == 0


def test_the_reasons_name_variant_gate_and_status() -> None:
    """One line each, for the verdict file."""
    _, reasons = outcome([verdict(), verdict(gate="memory", status="missing", detail="not measured")])
    assert reasons == ("fused-5bit: memory: missing: not measured",)


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
