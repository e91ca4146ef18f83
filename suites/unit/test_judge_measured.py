"""The gates on kernels, latency and memory: what passes, what fails, and what is never a pass."""

from collections.abc import Callable
from typing import Any

import pytest

from phase8.gates import measured as judge_measured
from phase8.gates.outcome import outcome
from phase8.profile.limits import Budgets, LatencyBudget, MemoryBudget
from phase8.profile.terms import Role
from phase8.record.run import Divergence, Reply, Status, Verdict
from suites.unit.records import canonical, environment, memory, record, samples

BUDGETS = Budgets(
    latency=LatencyBudget(
        reference_machine="Apple M1 Max",
        seconds_per_query={"tuned": 3.0},
        relative_to="base",
        max_decode_ratio=1.5,
    ),
    memory=MemoryBudget(judged="mlx_peak", ceiling_gb=20.0, variants_gb={"small": 1.0}),
)


def parted(gap: float | None, *, same_decision: bool = True) -> Callable[[Reply], Divergence]:
    """A closer look that finds replies parting at their first token."""
    return lambda reply: Divergence(case=reply.case, position=0, gap=gap, same_decision=same_decision)


def agreed(timed: dict[str, tuple[int, ...]], look: Callable[[Reply], Divergence]) -> Verdict:
    """The verdict on a tuned model whose timed replies have these tokens."""
    return judge_measured.kernel_agreement("tuned", "production", judge_measured.agreement(canonical(), timed, look))


def test_agreement_compares_token_for_token() -> None:
    """The tokens of the judged and of the timed reply."""
    timed = {one.case: one.tokens for one in canonical()}
    assert judge_measured.agreement(canonical(), timed, parted(0)).same == 5
    found = judge_measured.agreement(canonical(), timed | {"async-await": (9,)}, parted(1.0))
    assert (found.same, [one.case for one in found.divergences]) == (4, ["async-await"])


def test_only_a_tie_with_the_same_decision_explains_other_tokens() -> None:
    """Rounding can choose between equals; it cannot change what is clearly likelier, or what was decided."""
    timed = {one.case: one.tokens for one in canonical()} | {"async-await": (9,)}
    tie = agreed(timed, parted(judge_measured.TIE_NATS / 2))
    assert (tie.status, tie.measured, tie.failures) == ("pass", 1.0, ())
    assert "4 of 5" in tie.detail
    assert "async-await parts at token 0" in tie.detail
    for look in (
        parted(judge_measured.TIE_NATS * 2),
        parted(-judge_measured.TIE_NATS * 2),
        parted(0.0, same_decision=False),
        parted(None),  # logits that are no numbers
    ):
        fault = agreed(timed, look)
        assert (fault.status, fault.measured, fault.failures) == ("fail", 0.8, ("async-await",))


def test_a_query_that_was_judged_and_not_timed_differs() -> None:
    """One timed query of five does not prove that all five agree."""
    found = judge_measured.agreement(canonical(), {"async-await": (1, 2, 3)}, parted(0))
    assert (found.same, found.compared) == (1, 5)
    assert judge_measured.kernel_agreement("tuned", "production", found).status == "fail"


def test_agreement_on_nothing_is_missing() -> None:
    """Whether nothing was timed or nothing was compared."""
    for found in (None, judge_measured.agreement(canonical(), {}, parted(0))):
        assert judge_measured.kernel_agreement("tuned", "production", found).status == "missing"


def test_seconds_a_query_are_judged_on_the_reference_machine_only() -> None:
    """Elsewhere the limit says nothing."""
    timed = {"query_s": samples(2.0, 4.5)}
    judged = judge_measured.seconds_a_query("tuned", "production", timed, BUDGETS, environment())
    assert (judged.status, judged.measured, judged.limit) == ("fail", 3.25, 3.0)
    elsewhere = judge_measured.seconds_a_query("tuned", "production", timed, BUDGETS, environment(chip="Apple M5"))
    assert elsewhere.status == "not applicable"
    assert (
        judge_measured.seconds_a_query("other", "production", timed, BUDGETS, environment()).status == "not applicable"
    )


def test_untimed_queries_are_missing_on_the_reference_machine() -> None:
    """The limit applies and nothing was measured."""
    assert judge_measured.seconds_a_query("tuned", "production", {}, BUDGETS, environment()).status == "missing"


FAST, WIDE, SLOW = (1.0, 1.01, 1.02) * 5, (0.5, 1.5, 2.5) * 2, (2.0, 2.01, 2.02) * 5


def test_a_decode_ratio_is_inconclusive_where_its_interval_holds_the_limit(subtests: pytest.Subtests) -> None:
    """Not being able to show a loss is not the same as showing that there is none."""
    cases: list[tuple[Any, Role, Status]] = [
        (FAST, "production", "pass"),
        (SLOW, "production", "fail"),
        (WIDE, "production", "inconclusive"),
        (SLOW, "candidate", "xfail"),
        (WIDE, "candidate", "inconclusive"),
        (WIDE, "control", "info"),
    ]
    for mine, role, status in cases:
        with subtests.test(mine=mine, role=role, status=status):
            found = judge_measured.decode_ratio(
                "tuned", role, {"token_s": samples(*mine)}, {"token_s": samples(*FAST)}, BUDGETS
            )
            assert found.status == status, found.detail


@pytest.mark.parametrize("measured", [{}, {"token_s": samples()}, {"token_s": samples(1.0)}])
def test_a_decode_ratio_without_enough_samples_is_missing(measured: dict) -> None:
    """On either side."""
    enough = {"token_s": samples(*FAST)}
    assert judge_measured.decode_ratio("tuned", "production", measured, enough, BUDGETS).status == "missing"
    assert judge_measured.decode_ratio("tuned", "production", enough, measured, BUDGETS).status == "missing"


def test_a_variant_is_not_compared_with_itself() -> None:
    """Nor where the profile compares with nothing."""
    timed = {"token_s": samples(*FAST)}
    assert judge_measured.decode_ratio("base", "production", timed, timed, BUDGETS).status == "not applicable"
    assert judge_measured.decode_ratio("tuned", "production", timed, timed, Budgets()).status == "not applicable"


@pytest.mark.parametrize(
    ("judged", "gigabytes", "named"),
    [
        ("mlx_active", 19.0, "mlx active"),
        ("mlx_peak", 20.0, "mlx peak"),
        ("process_peak", 21.0, "physical footprint"),
    ],
)
def test_memory_judges_the_number_that_the_profile_names(judged, gigabytes: float, named: str) -> None:
    """And says which of the three it was."""
    budgets = Budgets(memory=MemoryBudget(judged=judged, ceiling_gb=20.0))
    found = judge_measured.memory("tuned", "production", memory(), budgets)
    assert found.measured == gigabytes
    assert found.detail.startswith(named)
    assert found.status == ("fail" if gigabytes > 20 else "pass")


def test_a_variants_own_ceiling_goes_before_the_profiles() -> None:
    """20 GB are fine for one and too much for the other."""
    assert judge_measured.memory("tuned", "production", memory(), BUDGETS).status == "pass"
    assert judge_measured.memory("small", "production", memory(), BUDGETS).status == "fail"


def test_memory_that_was_not_measured_is_missing() -> None:
    """Where there is a ceiling; without one it is not applicable."""
    assert judge_measured.memory("tuned", "production", None, BUDGETS).status == "missing"
    assert judge_measured.memory("tuned", "production", None, Budgets()).status == "not applicable"


def test_the_profile_says_whether_an_inconclusive_ratio_holds_up_the_run() -> None:
    """Without a word of it, it does."""
    timed = ("tuned", "production", {"token_s": samples(*WIDE)}, {"token_s": samples(*FAST)})
    free = BUDGETS.model_copy(update={"inconclusive_blocks": ()})
    found = [judge_measured.decode_ratio(*timed, budgets) for budgets in (BUDGETS, free)]
    assert [outcome(record(verdicts=(one,))).exit_code for one in found] == [3, 0]
