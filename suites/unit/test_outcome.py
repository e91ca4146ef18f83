"""The outcome of a run: made once from its record, and shown alike wherever a run is shown."""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from phase8.cli import stages as commands
from phase8.cli.shards import merge_shards
from phase8.core.store import Store
from phase8.gates.outcome import accounts_for, outcome, verdict_file
from phase8.history.lanes import keep, listed
from phase8.profile.loading import load
from phase8.record.files import load_run, load_verdict, save_run
from phase8.record.run import RunRecord
from phase8.regression.validity import soundness
from phase8.report.write import publish, terminal
from phase8.runner import run as phase8
from phase8.shards.join import merge
from phase8.stages.flow import Flow
from suites.unit.gates import HASH, LANE, PROFILE, whole_run
from suites.unit.records import record, verdict
from suites.unit.test_gate_stage import FIRST, SECOND, shard

TEST = "suites/mine/test_mine.py::test_my_own"
FAILED = verdict(gate="memory", status="fail", measured=9.0, limit=8.0, unit="GB", detail="9 GB used")
OPEN = verdict(gate="recovery", status="inconclusive", detail="94 percent kept")

# What a record holds, what that comes to, and what every view must say of it.
RECORDS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "passed": ({}, "pass", ["3 gates on fused-5bit, none failed"]),
    "a test without a verdict failed": ({"failures": (TEST,)}, "fail", [f"{TEST} failed", f"1 test failed: {TEST}"]),
    "a gate failed": ({"verdicts": (verdict(), FAILED)}, "fail", ["9 GB used", "1 gate on fused-5bit failed"]),
    "a gate and a test failed": ({"verdicts": (FAILED,), "failures": (TEST,)}, "fail", ["9 GB used", f"{TEST} failed"]),
    "a gate is missing": (
        {"verdicts": (verdict(), verdict(gate="held-out", status="missing", detail="no reply"))},
        "fail",
        ["no reply", "failed or missing"],
    ),
    "inconclusive": ({"verdicts": (verdict(), OPEN)}, "inconclusive", ["94 percent kept", "could not be decided"]),
    "inconclusive, and free to be": (
        {"verdicts": (verdict(), OPEN.model_copy(update={"blocks": False}))},
        "pass",
        ["1 inconclusive that does not block"],
    ),
    "inconclusive, and a test failed": ({"verdicts": (verdict(), OPEN), "failures": (TEST,)}, "fail", [TEST]),
    "a control passed": (
        {"verdicts": (verdict(), verdict("base", "control", "fail", role="control", detail="it PASSES"))},
        "fail",
        ["it PASSES", "1 gate on base failed"],
    ),
    "a control passed in an old record": (
        {"verdicts": (verdict(), verdict("base", "canonical", "xpass", role="control", detail="got through"))},
        "fail",
        ["got through"],
    ),
    "pytest had an internal error": ({"pytest_status": 3}, "fail", ["pytest ended with 3 (an internal error"]),
    "pytest was interrupted": ({"pytest_status": 2}, "fail", ["pytest ended with 2 (interrupted)"]),
    "pytest was used wrongly": ({"pytest_status": 4}, "fail", ["pytest ended with 4 (pytest was used wrongly)"]),
    "pytest was killed": ({"pytest_status": -9}, "fail", ["pytest was ended by signal SIGKILL"]),
    "pytest failed and nothing says why": ({"pytest_status": 1}, "fail", ["neither a verdict nor a failed test"]),
    "partial": ({"partial": True}, "pass", ["PARTIAL"]),
    "partial and failed": ({"partial": True, "failures": (TEST,)}, "fail", ["PARTIAL", f"{TEST} failed"]),
    "nothing was judged": ({"verdicts": ()}, "fail", ["nothing was judged"]),
    "synthetic controls alone": (
        {"verdicts": (verdict("always-call", "control", "pass", role="control"), verdict(status="not applicable"))},
        "fail",
        ["nothing was judged"],
    ),
}
WORDS = {"pass": "PASS:", "fail": "FAIL:", "inconclusive": "INCONCLUSIVE:"}
CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


@pytest.fixture(params=RECORDS)
def case(request: pytest.FixtureRequest) -> tuple[RunRecord, str, list[str]]:
    """A record, its word, and what must be said of it."""
    changes, word, said = RECORDS[request.param]
    return record(**changes), word, said


def plain(text: str) -> str:
    """Markdown and HTML without the signs that only keep text from acting."""
    return text.replace("\\", "").replace("<bdi>", "").replace("</bdi>", "")


def test_every_view_says_the_same_word_and_every_reason(
    case: tuple[RunRecord, str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminal, both reports, the page of a CI job, verdict.json, the history: none passes what the exit code fails."""
    run, word, said = case
    reports, summary, stream = tmp_path / "reports", tmp_path / "summary.md", io.StringIO()
    reports.mkdir()
    publish(run, reports, ())
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setattr(commands, "run_phase8", lambda options: 1)
    commands.run(argparse.Namespace(plan=False, reports=reports))
    terminal(run, Console(file=stream, width=400, color_system=None))
    views = {
        path.name: path.read_text(encoding="utf-8")
        for path in (reports / "report.md", reports / "report.html", summary)
    }
    for name, text in {**views, "terminal": stream.getvalue()}.items():
        words = {key for key, shown in WORDS.items() if shown in plain(text)}
        assert words == {word}, name
        for reason in (*said, *(one.rpartition(": ")[2] for one in outcome(run).reasons)):
            assert reason in plain(text), (name, reason)
    told = load_verdict(reports)
    assert (told.outcome, told.exit_code, told.partial) == (word, CODES[word], run.partial)
    assert told.reasons == outcome(run).reasons
    assert bool(told.reasons) == (word != "pass")
    keep(reports, tmp_path / "history")
    (kept,) = listed(tmp_path / "history", run.lane)
    assert kept.summary is not None
    assert (kept.summary.outcome, kept.summary.exit_code) == (word, told.exit_code)


def test_the_merge_gate_reads_every_reason_of_a_run(subtests: pytest.Subtests) -> None:
    """Whatever the baseline did: a run that did not pass by itself is not fine."""
    for name, (changes, _, _) in RECORDS.items():
        if not outcome(record(**changes)).judged:
            continue  # the gate refuses such a run as empty, before it reads any reason
        with subtests.test(name=name):
            others = {key: value for key, value in changes.items() if key != "verdicts"}
            mine = [one.model_copy(update={"gate": f"mine {i}"}) for i, one in enumerate(changes.get("verdicts", ()))]
            run = whole_run()
            run = run.model_copy(update={**others, "partial": False, "verdicts": (*run.verdicts, *mine)})
            against = [one for one in soundness(run, PROFILE, HASH, None) if one.outcome not in ("fine", "not judged")]
            reasons = outcome(run).reasons
            assert bool(against) == bool(reasons)
            for reason in reasons:
                told = reason.rpartition(": ")[2].removesuffix(" failed")
                assert any(told in one.detail for one in against), reason


def test_joined_shards_come_to_what_their_records_say(tmp_path: Path) -> None:
    """A test that failed in one of them, and a pytest that did not end well, fail the whole."""
    for number, changes in enumerate([{"failures": (TEST,)}, {"pytest_status": 3}]):
        folder = tmp_path / str(number)
        parts = {"a": shard(FIRST, pytest_status=0), "b": shard(SECOND, **changes)}
        for name, run in parts.items():
            (folder / name).mkdir(parents=True)
            save_run(run, folder / name)
        found = {str(folder / name / "run.json"): run for name, run in parts.items()}
        joined = merge_shards(found, PROFILE, folder / "out", folder / "build")
        assert outcome(joined).word == load_verdict(folder / "out").outcome == "fail"
        assert load_verdict(folder / "out").reasons == outcome(joined).reasons != ()


def test_a_shard_whose_gate_failed_does_not_fail_the_whole_twice() -> None:
    """Its pytest ended with 1 for that gate, which joining judges anew."""
    gone = verdict("fused-8bit", "memory", "fail")
    failed = shard(FIRST, pytest_status=1)
    failed = failed.model_copy(update={"verdicts": (*(v for v in failed.verdicts if _place(v) != _place(gone)), gone)})
    joined = merge({"a": failed, "b": shard(SECOND, pytest_status=0)}, PROFILE)
    assert (joined.pytest_status, outcome(joined).ended) == (0, "")


def _place(found) -> tuple[str, str]:
    return found.variant, found.gate


def test_a_failed_run_names_what_failed_before_what_is_open() -> None:
    """Reasons are those of the exit code; what stayed open beside a failure is no reason for it."""
    found = outcome(record(verdicts=(OPEN, FAILED)))
    assert found.reasons == ("fused-5bit: memory: fail: 9 GB used",)
    assert found.undecided == (OPEN,)


def test_many_failed_tests_are_counted_in_the_headline_and_all_named_in_the_reasons() -> None:
    """One line stays one line."""
    found = outcome(record(failures=tuple(f"test_{i}" for i in range(5))))
    assert "5 tests failed: test_0, test_1, test_2 and 2 more" in found.headline
    assert len(found.reasons) == 5


def test_a_pytest_status_that_its_verdicts_explain_is_no_reason_of_its_own() -> None:
    """A gate that failed made pytest end with 1."""
    assert outcome(record(verdicts=(FAILED,), pytest_status=1)).reasons == ("fused-5bit: memory: fail: 9 GB used",)


def test_a_record_accounts_for_how_pytest_ended_or_not(subtests: pytest.Subtests) -> None:
    """It was written before pytest had ended."""
    for changes, status, accounted in [
        ({}, 0, True),
        ({"pytest_status": 0}, 1, False),
        ({"pytest_status": 0}, 3, False),
        ({"pytest_status": 0}, -11, False),
        ({"pytest_status": 3}, 3, True),
        ({"pytest_status": 3}, 1, True),
        ({"verdicts": (FAILED,), "pytest_status": 1}, 1, True),
        ({"verdicts": (FAILED,), "pytest_status": 1}, 3, False),
        ({"verdicts": (verdict(), OPEN), "pytest_status": 0}, 1, True),
    ]:
        with subtests.test(changes=changes, status=status):
            assert accounts_for(record(**changes), status) == accounted


def test_records_of_before_read_and_come_to_the_same(tmp_path: Path) -> None:
    """Without the fields that are new."""
    run = record()
    old = run.model_dump(mode="json", exclude={"pytest_status": True, "verdicts": {"__all__": {"as_production"}}})
    (tmp_path / "run.json").write_text(json.dumps(old), encoding="utf-8")
    assert load_run(tmp_path) == run
    assert verdict_file(load_run(tmp_path)).outcome == "pass"


class Ended:
    """What a finished process leaves."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode


@pytest.mark.parametrize(
    ("changes", "status", "verdict_there", "code", "said"),
    [
        ({"pytest_status": 0}, 0, True, 0, "PASS"),
        ({"pytest_status": 0}, 3, True, 1, "pytest ended with 3"),
        ({"pytest_status": 0}, -9, False, 1, "SIGKILL"),
        ({"pytest_status": 0, "verdicts": (verdict(), OPEN)}, 1, True, 3, "INCONCLUSIVE"),
        ({"pytest_status": 1, "failures": (TEST,)}, 1, True, 1, TEST),
        ({"pytest_status": 1, "failures": (TEST,)}, 1, False, 1, TEST),
    ],
)
def test_a_pytest_that_ends_otherwise_than_it_wrote_is_in_every_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict,
    status: int,
    verdict_there: bool,
    code: int,
    said: str,
) -> None:
    """The exit code of the command is that of the files, which are written anew where they did not know."""
    stream = io.StringIO()

    def run(command, **_):
        publish(record(lane=LANE, **changes), tmp_path / "reports", ())
        if not verdict_there:
            (tmp_path / "reports" / "verdict.json").unlink()
        return Ended(status)

    (tmp_path / "reports").mkdir()
    monkeypatch.setattr(phase8.subprocess, "run", run)
    monkeypatch.setattr(phase8, "CONSOLE", Console(file=stream, width=400, color_system=None))
    flow = Flow(load("pocket"), Store(tmp_path / "build"))
    assert phase8._judge_with_pytest(flow, [], tmp_path / "build", tmp_path / "reports") == code
    told = load_verdict(tmp_path / "reports")
    assert told.exit_code == code
    for text in (stream.getvalue(), *((tmp_path / "reports" / n).read_text() for n in ("report.md", "report.html"))):
        assert said in plain(text)
    (kept,) = listed(tmp_path / "build" / "history", LANE)
    assert kept.summary is not None
    assert kept.summary.exit_code == code
