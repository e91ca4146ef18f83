"""The runtime in the merge gate: other tokens, other odds, prompts that are no longer stable."""

from functools import cache
from typing import Any

import pytest

from phase8.record.audit import AuditRecord, Odds
from phase8.record.run import RunRecord
from phase8.regression.checks import compare_with_baseline
from phase8.regression.findings import Finding
from phase8.regression.pairing import Both
from phase8.regression.runtime import determinism, runtime
from suites.unit.audits import ODDS, audit, prompt
from suites.unit.gates import PRODUCTION, PROFILE, whole_run, with_replies, with_variant

SHIFTED = Odds(tokens=(2, 9), log_p=(-0.11, -2.95), log_rest=-2.9)


@cache
def accepted() -> RunRecord:
    """Made once, when the first test asks."""
    return with_variant(whole_run(), PRODUCTION, audit=audit())


def both(after: AuditRecord | None, before: AuditRecord | None = None, **changes: Any) -> Both:
    """The production variant with these audits."""
    old = next(v for v in accepted().variants if v.name == PRODUCTION)
    kept = old.model_copy(update={"audit": before or audit()})
    return Both(before=kept, after=old.model_copy(update={"audit": after, **changes}))


def of_runtime(found: Both) -> Finding:
    """The one finding on the runtime."""
    (one,) = runtime(found, PROFILE)
    return one


def test_the_same_run_twice_is_at_no_distance() -> None:
    """Exactly 0, over every token whose odds are kept."""
    found = of_runtime(both(audit()))
    assert (found.outcome, found.measured, found.limit) == ("fine", 0.0, 1e-5)
    assert "KL at least 0 nats over 15 tokens" in found.detail


def test_other_odds_are_another_runtime_though_all_tokens_are_the_same() -> None:
    """Named by prompt and token."""
    shifted = audit(prompt("async-await", odds=(ODDS[0], SHIFTED, ODDS[2])))
    found = of_runtime(both(shifted))
    assert found.outcome == "regressed"
    assert found.names == ("canonical/async-await at token 1",)
    assert "the runtime changed" in found.detail
    assert "same tokens" in found.detail
    assert found.measured is not None
    assert found.measured > 1e-5


def test_odds_within_the_limit_are_fine_and_told() -> None:
    """The limit is the profile's."""
    near = Odds(tokens=(2, 9), log_p=(-0.1001, -3.0), log_rest=-2.999)
    changed = both(audit(prompt(odds=(ODDS[0], near, ODDS[2]))))
    found = of_runtime(changed)
    assert (found.outcome, found.names) == ("fine", ())
    assert found.measured is not None
    assert 0 < found.measured < 1e-5
    strict = PROFILE.model_copy(update={"gate": PROFILE.gate.model_copy(update={"max_runtime_kl": 0.0})})
    assert runtime(changed, strict)[0].outcome == "regressed"


def test_odds_that_are_no_numbers_any_more_are_another_runtime() -> None:
    """An infinite distance, which no report has to hold."""
    broken = Odds(tokens=(), log_p=(), log_rest=0.0)
    found = of_runtime(both(audit(prompt(odds=(ODDS[0], broken, ODDS[2])))))
    assert (found.outcome, found.measured) == ("regressed", None)


def test_odds_that_are_not_kept_any_more_are_missing() -> None:
    """Fewer tokens than the baseline's, or no audit at all."""
    for less in (audit(prompt(odds=ODDS[:2])), None):
        found = of_runtime(both(less))
        assert found.outcome == "missing"
        assert found.names[0].startswith("canonical/view-functions: odds of")


def test_a_baseline_without_odds_says_that_none_were_compared() -> None:
    """A run from before there were audits."""
    old = next(v for v in whole_run().variants if v.name == PRODUCTION)
    (found,) = runtime(Both(before=old, after=old.model_copy(update={"audit": audit()})), PROFILE)
    assert (found.outcome, found.measured) == ("fine", None)
    assert "the odds were not compared" in found.detail


def test_odds_after_a_token_that_differs_are_of_another_text() -> None:
    """They are not compared; those up to it are, and the other token is the regression."""
    old = next(v for v in accepted().variants if v.name == PRODUCTION)
    replies = tuple(r.model_copy(update={"tokens": (1, 7, 3)}) if r.case == "async-await" else r for r in old.replies)
    changed = audit(prompt("async-await", odds=(ODDS[0], ODDS[1], SHIFTED)))
    found = of_runtime(both(changed, replies=replies))
    assert (found.outcome, found.names, found.measured) == ("regressed", ("canonical/async-await",), 0.0)
    assert "over 14 tokens" in found.detail


def test_of_another_artefact_it_is_told_how_far_its_odds_have_moved() -> None:
    """They may be whatever they are, where the profile does not limit them."""
    moved = both(audit(prompt(odds=(SHIFTED,) * 3)), artefact="other")
    found = of_runtime(moved)
    assert (found.check, found.outcome, found.blocks, found.limit) == ("drift", "not judged", False, None)
    assert "no gate.max_drift_kl in the profile" in found.detail
    assert found.measured is not None
    assert found.measured > 1e-3
    assert found.names[0].startswith("canonical/view-functions at token")


@pytest.mark.parametrize(("limit", "outcome"), [(1e-9, "regressed"), (10.0, "fine")])
def test_a_changed_artefact_whose_odds_moved_too_far_is_regressed(limit: float, outcome: str) -> None:
    """Where the profile says that the model is to be the same: damaged weights may change no decision yet."""
    limited = PROFILE.model_copy(update={"gate": PROFILE.gate.model_copy(update={"max_drift_kl": limit})})
    (found,) = runtime(both(audit(prompt(odds=(SHIFTED,) * 3)), artefact="other"), limited)
    assert (found.check, found.outcome, found.blocks, found.limit) == ("drift", outcome, True, limit)
    (found,) = runtime(both(audit(), artefact="other"), limited)
    assert (found.outcome, found.measured) == ("fine", 0.0)
    (found,) = runtime(both(None, artefact="other"), limited)
    assert found.outcome == "missing"


def test_another_artefact_whose_baseline_has_no_odds_is_not_compared() -> None:
    """There is nothing to say."""
    old = next(v for v in whole_run().variants if v.name == PRODUCTION)
    changed = old.model_copy(update={"artefact": "other", "audit": audit()})
    assert runtime(Both(before=old, after=changed), PROFILE) == []


def test_other_tokens_of_a_prompt_that_was_unstable_are_left_out_by_name() -> None:
    """Those of a stable prompt are not."""
    shaky = audit(prompt("async-await", "batch"))
    old = next(v for v in accepted().variants if v.name == PRODUCTION)
    replies = tuple(r.model_copy(update={"tokens": (1, 2, 7)}) if r.case == "async-await" else r for r in old.replies)
    found = of_runtime(both(shaky, shaky, replies=replies))
    assert found.outcome == "fine"
    assert "left out as unstable in the baseline: canonical/async-await" in found.detail
    assert of_runtime(both(shaky, replies=replies)).outcome == "regressed"


@pytest.mark.parametrize("odds", [ODDS[:1], (SHIFTED,) * 3])
def test_other_odds_of_a_prompt_that_was_unstable_are_left_out_too(odds: tuple[Odds, ...]) -> None:
    """It may part a token earlier than before, and then keeps fewer."""
    before, after = audit(prompt("async-await", "batch")), audit(prompt("async-await", "batch", odds=odds))
    assert of_runtime(both(after, before)).outcome == "fine"
    assert of_runtime(both(after)).outcome in ("missing", "regressed")


def test_stable_in_the_baseline_and_unstable_now_fails_by_name() -> None:
    """Whatever the artefact is."""
    shaky = audit(prompt("async-await", "cold"), prompt("orm-or-sql", "alone"))
    for artefact in ("key-fused-5bit", "other"):
        (found,) = determinism(both(shaky, artefact=artefact))
        assert (found.outcome, found.blocks) == ("regressed", True)
        assert set(found.names) == {"canonical/async-await", "canonical/orm-or-sql"}
        assert "canonical/async-await: cold from token 2 (0.0004 nats)" in found.detail


def test_unstable_before_and_now_is_no_regression() -> None:
    """Nor is one that became stable."""
    shaky = audit(prompt("async-await", "cold"))
    for after in (shaky, audit()):
        (found,) = determinism(both(after, shaky))
        assert found.outcome == "fine"
        assert "the 4 prompts that were stable in the baseline, of 5, are stable still" in found.detail


def test_audited_in_the_baseline_and_not_in_the_run_is_missing_by_name() -> None:
    """One prompt, or all of them."""
    less = audit().model_copy(update={"prompts": audit().prompts[1:]})
    (found,) = determinism(both(less))
    assert (found.outcome, found.names) == ("missing", ("canonical/view-functions",))
    (found,) = determinism(both(None))
    assert (found.outcome, len(found.names)) == ("missing", 5)


def test_where_no_prompt_was_stable_nothing_is_fine() -> None:
    """There is nothing that could have been lost."""
    shaky = audit(*(prompt(one.case, "batch") for one in audit().prompts))
    (found,) = determinism(both(shaky, shaky))
    assert found.outcome == "not judged"


def test_the_whole_gate_judges_runtime_and_determinism() -> None:
    """And leaves both out in another lane, where two machines' rounding is compared."""
    after = with_variant(accepted(), PRODUCTION, audit=audit(prompt("async-await", "cold", odds=(SHIFTED,) * 3)))

    def bad(run) -> set[tuple[str, str]]:
        found = compare_with_baseline(run, accepted(), PROFILE)
        return {
            (f.outcome, f.check) for f in found if f.subject == PRODUCTION and f.outcome in ("regressed", "missing")
        }

    assert bad(accepted()) == set()
    assert bad(after) == {("regressed", "determinism"), ("regressed", "runtime")}
    assert bad(after.model_copy(update={"lane": "pocket--elsewhere"})) == set()


def test_changed_calls_of_an_unstable_query_are_left_out_of_the_diff_by_name() -> None:
    """Those of the others are not."""
    shaky = audit(prompt("async-await", "cold"))
    baseline = with_variant(accepted(), PRODUCTION, audit=shaky)

    def calls(case: str) -> Finding:
        run = with_replies(baseline, PRODUCTION, {case: {"calls": ()}})
        return next(
            f for f in compare_with_baseline(run, baseline, PROFILE) if (f.check, f.subject) == ("calls", PRODUCTION)
        )

    assert calls("async-await").outcome == "fine"
    assert calls("async-await").detail.endswith("left out as unstable: async-await")
    assert calls("view-functions").outcome == "regressed"


def test_a_query_that_is_unstable_now_is_not_left_out_where_the_baseline_has_no_audit() -> None:
    """Nothing says that it was unstable before."""
    baseline = with_variant(accepted(), PRODUCTION, audit=None)
    run = with_replies(baseline, PRODUCTION, {"async-await": {"calls": ()}})
    run = with_variant(run, PRODUCTION, audit=audit(prompt("async-await", "cold")))
    found = [f for f in compare_with_baseline(run, baseline, PROFILE) if (f.check, f.subject) == ("calls", PRODUCTION)]
    assert [f.outcome for f in found] == ["regressed"]


def test_calls_that_are_all_unstable_are_not_judged() -> None:
    """Nothing compared is nothing fine."""
    shaky = audit(*(prompt(one.case, "batch") for one in audit().prompts))
    run = with_variant(accepted(), PRODUCTION, audit=shaky)
    found = [f for f in compare_with_baseline(run, run, PROFILE) if (f.check, f.subject) == ("calls", PRODUCTION)]
    assert [f.outcome for f in found] == ["not judged"]


@pytest.mark.parametrize("field", ["query", "prompt_tokens", "prompt_hash"])
def test_odds_of_another_prompt_under_the_same_name_are_not_compared(field: str) -> None:
    """That it is another prompt is a finding of its own."""
    old = next(v for v in accepted().variants if v.name == PRODUCTION)
    value = {"query": "Another", "prompt_tokens": 7, "prompt_hash": "another"}[field]
    replies = tuple(r.model_copy(update={field: value}) if r.case == "async-await" else r for r in old.replies)
    found = of_runtime(both(audit(prompt("async-await", odds=(SHIFTED,) * 3)), replies=replies))
    assert (found.outcome, found.measured) == ("fine", 0.0)


@pytest.mark.parametrize("shorter", ["before", "after"])
def test_a_reply_that_ends_earlier_has_no_odds_to_compare_after_its_end(shorter: str) -> None:
    """It is another reply; that its odds stop there is no odds lost."""
    old = next(v for v in accepted().variants if v.name == PRODUCTION)
    (one,) = [r for r in old.replies if r.case == "async-await"]
    cut = tuple(r.model_copy(update={"tokens": one.tokens[:1]}) if r is one else r for r in old.replies)
    few = audit(prompt("async-await", odds=ODDS[:2]))
    if shorter == "after":
        found = of_runtime(both(few, replies=cut))
    else:
        found = of_runtime(Both(before=old.model_copy(update={"audit": few, "replies": cut}), after=old))
    assert found.outcome == "regressed"  # for its tokens
    assert "not kept any more" not in found.detail


def test_a_limit_on_drift_without_odds_to_hold_it_to_says_so() -> None:
    """Nothing was judged, and nothing says fine."""
    limits = PROFILE.model_copy(update={"gate": PROFILE.gate.model_copy(update={"max_drift_kl": 0.01})})
    old = next(v for v in accepted().variants if v.name == PRODUCTION)
    changed = Both(before=old.model_copy(update={"audit": None}), after=old.model_copy(update={"artefact": "x"}))
    (found,) = runtime(changed, limits)
    assert (found.check, found.outcome, found.blocks) == ("drift", "not judged", False)
