"""What a CI job's page is given."""

from argparse import Namespace
from pathlib import Path

import pytest

from phase8.cli import stages as commands
from phase8.report import ci as job_summary


def test_what_was_there_stays_and_texts_do_not_run_into_each_other(tmp_path: Path, monkeypatch) -> None:
    """Steps of a job share one file."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    job_summary.append("# one")
    job_summary.append("# two\n")
    assert summary.read_text() == "before\n# one\n\n# two\n\n"


def test_nothing_is_written_where_no_summary_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    """On a developer's machine."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    job_summary.append("# one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plan", [False, True])
def test_a_run_adds_its_report_once_and_a_plan_adds_nothing(tmp_path: Path, monkeypatch, plan: bool) -> None:
    """The report of an earlier run is not this plan's."""
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    (tmp_path / "report.md").write_text("# PASS\n")
    monkeypatch.setattr(commands, "run_phase8", lambda options: 3)
    assert commands.run(Namespace(plan=plan, reports=tmp_path)) == 3
    assert (summary.read_text() if summary.exists() else "") == ("" if plan else "# PASS\n\n")
