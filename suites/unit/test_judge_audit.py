"""What an audit means: stable or not, which queries have exact snapshots."""

import pytest

from phase8.gates.determinism import NOT_COMPARED, determinism, exact_calls, with_timed
from phase8.gates.tool_calls import Compared, tool_calls
from phase8.gates.verdicts import is_good
from phase8.profile.limits import Audit
from phase8.profile.profile import Profile
from phase8.record.audit import WAYS
from phase8.record.run import Agreement, Divergence
from suites.unit.audits import PARTED, audit, prompt
from suites.unit.gates import PROFILE

CALLS = {"view-functions": [{"name": "grep"}], "async-await": [{"name": "find"}]}
UNSTABLE = audit(prompt("view-functions", "cold"))


def test_a_prompt_that_parts_in_any_way_is_unstable(subtests: pytest.Subtests) -> None:
    """And says in which, where, and by how much."""
    for way in WAYS:
        with subtests.test(way=way):
            assert prompt().stable
            found = prompt("view-functions", way)
            assert not found.stable
            assert found.why == f"{way} from token 2 (0.0004 nats)"


def test_a_way_that_was_not_tried_leaves_a_prompt_unstable(subtests: pytest.Subtests) -> None:
    """Nothing is stable because nobody looked."""
    for way in WAYS:
        with subtests.test(way=way):
            found = prompt(compared=tuple(one for one in WAYS if one != way))
            assert not found.stable
            assert found.why == f"{way} not tried"


def test_the_timed_replies_are_the_way_alone_of_canonical_queries() -> None:
    """Those that part take the gap along; a query that was not timed stays untried, and so does another suite's."""
    untried = {"compared": ("again", "batch", "cold")}
    held_out = prompt("view-functions-2", suite="held-out", **untried)
    names = ("view-functions", "async-await", "orm-or-sql")
    found = audit(*(prompt(name, **untried) for name in names), held_out)
    divergence = Divergence(case="async-await", **PARTED.model_dump())
    agreement = Agreement(same=3, compared=5, divergences=(divergence,), unpaired=("orm-or-sql",))
    timed = {one.case: one for one in with_timed(found, agreement).prompts}
    assert timed["view-functions"].stable
    assert timed["async-await"].parted == {"alone": PARTED}
    assert "alone" not in timed["orm-or-sql"].compared
    assert "alone" not in timed["view-functions-2"].compared


@pytest.mark.parametrize("agreement", [None, Agreement(same=0, compared=0)])
def test_without_timed_replies_the_way_alone_was_not_tried(agreement: Agreement | None) -> None:
    """Not a single comparison is no agreement."""
    found = audit(prompt(compared=("again", "batch", "cold")))
    assert with_timed(found, agreement) == found


def limited(share: float | None, variants: tuple[str, ...] | None = None) -> Profile:
    """``pocket`` with a limit on determinism."""
    budgets = PROFILE.budgets.model_copy(update={"deterministic": share})
    return PROFILE.model_copy(update={"budgets": budgets, "audit": Audit(variants=variants)})


def test_without_a_limit_determinism_is_told_and_counts_as_no_pass() -> None:
    """A model may hold two tokens for equally likely; only a change against the baseline is a fault."""
    stable, told = (determinism("adapter", "production", limited(None), found) for found in (audit(), UNSTABLE))
    assert (stable.status, told.status) == ("info", "info")
    assert (told.failures, told.measured, told.limit) == (("view-functions",), 0.8, None)
    assert "canonical/view-functions: cold from token 2" in told.detail


def test_with_a_limit_determinism_can_fail() -> None:
    """The share of prompts that get the same tokens in every way."""
    for share, found, status in [(1.0, audit(), "pass"), (1.0, UNSTABLE, "fail"), (0.8, UNSTABLE, "pass")]:
        verdict = determinism("adapter", "production", limited(share), found)
        assert (verdict.status, verdict.limit) == (status, share)
    told = determinism("adapter", "production", limited(1.0), UNSTABLE).detail
    assert told.startswith("4 of 5 prompts get the same tokens in every way, at least 100% wanted; canonical/")


def test_prompts_that_were_not_tried_in_every_way_are_missing_where_they_would_decide() -> None:
    """They are neither stable nor unstable; where the others decide, these change nothing."""
    untried, parted = prompt("async-await", compared=("again", "batch", "cold")), prompt("view-functions", "cold")
    for share, found, status in [
        (1.0, audit(untried), "missing"),
        (1.0, audit(untried, parted), "fail"),
        (0.8, audit(untried), "pass"),
        (0.8, audit(untried, parted), "missing"),
    ]:
        assert determinism("adapter", "production", limited(share), found).status == status


def test_an_audit_that_is_not_there_is_missing_unless_the_profile_leaves_it_out() -> None:
    """Never a pass."""
    empty = audit().model_copy(update={"prompts": ()})
    for profile in (limited(None), limited(1.0)):
        assert {determinism("adapter", "production", profile, found).status for found in (None, empty)} == {"missing"}
        assert determinism("fused-4bit", "candidate", profile, None).status == "not applicable"


def test_a_candidate_that_is_not_audited_since_it_is_one_has_not_been_measured() -> None:
    """Where the profile sets a limit for production; not where it names what is audited, or sets none."""
    profiles = (limited(None), limited(1.0), limited(1.0, ("adapter",)))
    found = [determinism("fused-4bit", "candidate", profile, None).as_production for profile in profiles]
    assert found == [None, "missing", None]


def test_stable_queries_are_compared_as_they_are() -> None:
    """Every one of them, also without an audit."""
    for found in (None, audit()):
        assert exact_calls(CALLS, {"view-functions": []}, found) == (CALLS, ())


def test_an_unstable_query_is_equal_to_its_record_whatever_it_called() -> None:
    """The others are compared all the same."""
    recorded = {"view-functions": ["old"], "async-await": ["old"]}
    found = exact_calls(CALLS, recorded, UNSTABLE)
    assert found.calls == {"view-functions": ["old"], "async-await": CALLS["async-await"]}
    assert found.left_out == ("view-functions",)


def test_an_unstable_query_is_recorded_as_not_compared_and_stays_so() -> None:
    """Until somebody records anew."""
    made = exact_calls(CALLS, None, UNSTABLE)
    assert made.calls["view-functions"] == NOT_COMPARED
    later = exact_calls(CALLS, made.calls, audit())
    assert later == (made.calls, ("view-functions",))
    assert exact_calls(CALLS, None, audit()).calls == CALLS


def test_what_is_left_out_of_a_snapshot_is_named() -> None:
    """And where nothing is left to compare, nothing passes."""
    same, changed = (Compared(outcome=outcome, file="calls.json") for outcome in ("as recorded", "changed"))
    some = tool_calls("x", "production", same, "accept", ("view-functions",), 2)
    assert (some.status, some.detail) == (
        "pass",
        "as recorded; not compared, since the tokens are not always the same: view-functions",
    )
    everything = tool_calls("x", "production", same, "accept", ("view-functions", "async-await"), 2)
    assert everything.status == "not applicable"
    assert is_good(everything)
    assert tool_calls("x", "production", changed, "accept", ("view-functions",), 2).status == "fail"
