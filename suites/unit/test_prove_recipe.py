"""The proof of a recipe: which runs it makes, what it counts, when it fails."""

import io
import json
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from phase8.core.store import Store
from phase8.profile.loading import PROFILES, load
from phase8.proofs import recipe as prove_recipe
from phase8.proofs.recipe import SETTINGS, Combination, combinations, faults, least_room, with_seed
from phase8.record.run import RunRecord, Verdict
from phase8.stages.flow import Flow
from suites.unit.records import loss, record, verdict


def flow(name: str, tmp_path: Path) -> Flow:
    """The flow of a shipped profile; nothing of it is built."""
    return Flow(load(name), Store(tmp_path / "build"))


def judged(*verdicts: Verdict) -> RunRecord:
    """A run with these verdicts."""
    return record(verdicts=verdicts)


def share(gate: str, measured: float, limit: float, **more: Any) -> Verdict:
    """A share of prompts against its limit, passed."""
    return verdict(gate=gate, measured=measured, limit=limit, unit="share", status="pass", **more)


def proved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: RunRecord | str) -> tuple[int, str]:
    """The exit code and the text of a proof all of whose runs end like this."""
    monkeypatch.setattr(prove_recipe, "_usable", lambda _: {"MKL": SETTINGS["MKL"]})
    monkeypatch.setattr(prove_recipe, "_run", lambda *_: found)
    out = io.StringIO()
    code = prove_recipe.prove_recipe(flow("pocket", tmp_path), 2, tmp_path, Console(file=out, width=200))
    return code, out.getvalue()


def test_a_base_that_is_made_here_is_tried_with_five_seeds_and_two_numbers_of_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A base that is given has its one seed, and the machine's threads."""
    monkeypatch.setattr(prove_recipe, "this_machine", lambda: SimpleNamespace(cores=2))
    pocket = combinations(flow("pocket", tmp_path), ["a", "b"], None)
    assert len(pocket) == len(set(pocket)) == 2 * 2 * 5
    smollm2 = combinations(flow("smollm2", tmp_path), ["a", "b"], None)
    assert smollm2 == [Combination("a", 2, 8), Combination("b", 2, 8)]


def test_another_seed_is_one_of_base_and_training_and_not_of_the_corpus() -> None:
    """The same rows, learnt by another draw."""
    text = (PROFILES / "pocket.toml").read_text(encoding="utf-8")
    before, after = tomllib.loads(text), tomllib.loads(with_seed(text, 77))
    assert (after["base"]["seed"], after["training"]["seed"]) == (77, 77)
    for table in ("base", "training"):
        before[table]["seed"] = 77
    assert after == before


def test_only_what_computes_in_a_way_of_its_own_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a processor makes MKL ignore a variable, and where a library is missing, the proof says so."""

    def answered(*_: Any, env: dict[str, str], **__: Any) -> SimpleNamespace:
        if env.get("PHASE8_BLAS") == "openblas":
            return SimpleNamespace(returncode=1, stderr="Traceback\nInvalidInput: openblas cannot be loaded here")
        products = "other" if env.get("MKL_CBWR") == "COMPATIBLE" else env["PHASE8_BLAS"]
        return SimpleNamespace(returncode=0, stdout=json.dumps({"blas": env["PHASE8_BLAS"], "products": products}))

    monkeypatch.setattr(subprocess, "run", answered)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    out = io.StringIO()
    usable = prove_recipe._usable(Console(file=out, width=200))
    assert list(usable) == ["MKL", "MKL, compatible", "MLX's own"]
    assert "MKL, SSE4.2: the same products as MKL on this processor" in out.getvalue()
    assert "OpenBLAS: not here: InvalidInput: openblas cannot be loaded here" in out.getvalue()


def test_the_least_room_is_of_the_gate_that_used_most_of_its_allowance() -> None:
    """Nine of ten allowed losses used leave a tenth; a gate that allows nothing has none to measure."""
    found = least_room(
        judged(
            share("canonical", 1.0, 1.0),
            share("held-out", 0.95, 0.9),
            share("over-calls", 0.03, 0.15),
            share("under-calls", 0.09, 0.1, variant="fused-5bit"),
        )
    )
    assert found.left == pytest.approx(0.1)
    assert found.where == "under-calls at fused-5bit"


def test_a_loss_against_the_adapter_is_held_to_its_bound() -> None:
    """What may have been lost counts, not what was seen."""
    found = least_room(judged(share("accuracy vs adapter", 0.0, 0.05, paired=loss(bound=0.04))))
    assert found.left == pytest.approx(0.2)


def test_what_a_clock_decides_is_no_fault_of_a_recipe() -> None:
    """Runs share the machine; everything else of production has to pass, and controls have to fail."""
    timed = verdict(gate="decode ratio", status="fail")
    candidate = verdict(gate="termination", status="xfail", role="candidate", variant="fused-4bit")
    unsure = verdict(gate="recovery", status="inconclusive")
    through = verdict(gate="control", status="fail", role="control", variant="base")
    assert faults(judged(timed, candidate)) == []
    assert faults(judged(timed, unsure, through)) == [unsure, through]


def test_runs_that_all_pass_prove_a_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The closing line has the least room of all."""
    code, text = proved(monkeypatch, tmp_path, judged(share("held-out", 0.98, 0.9)))
    assert code == 0
    assert "recipe: all " in text
    assert "least room: 80% of what held-out at fused-5bit allows, with MKL, 1 thread, seed 9" in text


def test_a_gate_that_could_not_be_decided_is_named_and_has_no_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The profile lets it stay open: it fails nothing, and it has not passed."""
    unsure = share("accuracy vs adapter", 0.01, 0.05, paired=loss(bound=0.06)).model_copy(
        update={"status": "inconclusive", "blocks": False}
    )
    code, text = proved(monkeypatch, tmp_path, judged(share("held-out", 0.98, 0.9), unsure))
    assert code == 0
    assert "pass but 1 undecided" in text
    assert "with a gate that could not be decided and does not block; least room: 80%" in text


@pytest.mark.parametrize(
    "found", [judged(share("held-out", 0.8, 0.9).model_copy(update={"status": "fail"})), "out of memory"]
)
def test_one_gate_that_fails_or_one_run_that_cannot_be_made_fails_the_proof(
    found: RunRecord | str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And says which."""
    code, text = proved(monkeypatch, tmp_path, found)
    assert code == 1
    assert "MKL, 1 thread, seed 9: " in text
    assert "DO NOT PASS" in text or "no combination could be run" in text


def test_a_run_that_judged_no_production_variant_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No gate failed, since none was asked."""
    code, text = proved(monkeypatch, tmp_path, judged(verdict(role="candidate", status="xpass")))
    assert code == 1
    assert "no production gate was judged" in text


def test_a_test_that_failed_without_a_verdict_fails_the_proof(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name."""
    found = record(verdicts=(share("held-out", 0.98, 0.9),), failures=("suites/mine.py::test_mine",))
    code, text = proved(monkeypatch, tmp_path, found)
    assert code == 1
    assert "suites/mine.py::test_mine failed" in text


def test_the_reports_of_an_earlier_run_do_not_stand_for_one_that_was_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A command that stops before it starts leaves files; here they would be taken for its own."""
    one = Combination("MKL", 1, 9)
    earlier = tmp_path / "reports" / "pocket-mkl-1-thread-seed-9"
    earlier.mkdir(parents=True)
    (earlier / "run.json").write_text(record().model_dump_json(), encoding="utf-8")
    refused = SimpleNamespace(returncode=2, stderr="error: no disk", stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    assert prove_recipe._run(flow("pocket", tmp_path), one, {}, tmp_path) == "error: no disk"
