"""The gates on survival and the smallest safe width."""

from typing import Any

import pytest

from harness import judge_survival, survival
from harness.ladder_record import FolderCheck
from harness.profile import Budgets
from harness.record import Verdict
from harness.survival_record import ModuleIntegrity
from harness.verdicts import is_good, outcome
from suites.unit.ladders import estimate, ladder, recovery, rung
from suites.unit.records import loss, verdict

GATES = ("integrity", "recovery", "canonical", "accuracy vs adapter")


def verdicts(bits: int, **statuses: str) -> list[Verdict]:
    """All four verdicts on one width, fine but for those given as ``recovery="fail"``."""
    found = []
    for gate in GATES:
        status = statuses.get(gate.split()[0], "pass")
        more: dict[str, Any] = {"measured": 1.0, "samples": 112}
        more |= {"paired": loss()} if gate == "accuracy vs adapter" else {}
        found.append(verdict(f"fused-{bits}bit", gate, status, **more))
    return found


def check(**overrides: Any) -> FolderCheck:
    """A folder whose every module is right."""
    values: dict[str, Any] = {
        "variant": "fused-5bit",
        "outcome": "equal",
        "modules": 112,
        "equal": 112,
        "faults": (),
        "settings": (),
        "unchanged": True,
    }
    return FolderCheck(**{**values, **overrides})


def test_the_smallest_width_that_passes_all_three_is_safe() -> None:
    """5 of 8, 5 and 4; why 4 is not is said."""
    given = [*verdicts(8), *verdicts(5), *verdicts(4, accuracy="fail")]
    found = survival.answer(ladder(rung(8), rung(5), rung(4)), given)
    assert found.smallest == 5
    assert found.line.startswith("Smallest safe width: 5 bits (integrity 112 of 112 modules; recovery 100.0 %")
    assert found.notes[0].startswith("4 bits: not safe: accuracy vs adapter")
    assert found.notes[-1] == "The Phase 8 record's threshold (4 bits fails, 5 holds) repeats here."


def test_each_of_the_questions_can_make_a_width_unsafe(subtests: pytest.Subtests) -> None:
    """None of them is made up for by the others."""
    for gate in ["integrity", "recovery", "canonical", "accuracy"]:
        with subtests.test(gate=gate):
            assert survival.answer(ladder(rung(5)), verdicts(5, **{gate: "fail"})).smallest is None


def test_what_is_inconclusive_is_not_safe_and_said_apart() -> None:
    """Not having shown a loss is not the same as having shown that there is none."""
    found = survival.answer(ladder(rung(5)), verdicts(5, recovery="inconclusive"))
    assert found.smallest is None
    assert found.widths[0].safety == "not shown to be safe"


def test_a_width_without_a_verdict_is_not_safe() -> None:
    """Nothing is safe because it was not measured."""
    found = survival.answer(ladder(rung(5)), verdicts(5)[:2])
    assert found.widths[0].safety == "not measured"


def test_a_wider_width_that_is_not_safe_is_named() -> None:
    """Survival is not taken to grow with the width."""
    found = survival.answer(ladder(rung(8), rung(5)), [*verdicts(8, recovery="fail"), *verdicts(5)])
    assert found.smallest == 5
    assert any(note.startswith("Wider, and yet: 8 bits: not safe: recovery") for note in found.notes)


def test_a_threshold_that_does_not_repeat_is_said() -> None:
    """4 bits hold here."""
    found = survival.answer(ladder(rung(5), rung(4)), [*verdicts(5), *verdicts(4)])
    assert found.smallest == 4
    assert "does not repeat" in found.notes[-1]


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
    assert [outcome([one])[0] for one in found] == [1, 3]


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
