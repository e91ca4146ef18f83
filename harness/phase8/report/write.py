"""The reports of a run: ``terminal``, ``markdown`` and ``html``, and the files of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from phase8.core.files import write_text
from phase8.gates.outcome import verdict_file
from phase8.history.lanes import LaneRuns, runs_until
from phase8.record.files import save_run, save_verdict
from phase8.record.run import RunRecord
from phase8.regression.findings import GateReport
from phase8.report.html import html
from phase8.report.markdown import markdown
from phase8.report.terminal import terminal

__all__ = ["html", "markdown", "publish", "terminal", "write"]


def publish(record: RunRecord, out: Path, histories: Sequence[Path]) -> None:
    """Write the files of a finished run: record, reports and, last, ``verdict.json``; each is replaced whole.

    Args:
        record: the run, from which all of them are made.
        out: an existing folder.
        histories: where the runs of its lane are kept.
    """
    save_run(record, out)
    write(record, out, runs_until(record, histories))
    save_verdict(verdict_file(record), out)


def write(record: RunRecord, out: Path, lane: LaneRuns | None = None, gate: GateReport | None = None) -> None:
    """Write ``report.md`` and ``report.html`` into the folder ``out``; each is replaced whole.

    Args:
        record: the run.
        out: the folder.
        lane: the runs of its lane up to this one.
        gate: what the merge gate said of it, for the page; its Markdown is a file of its own.
    """
    write_text(out / "report.md", markdown(record))
    write_text(out / "report.html", html(record, lane, gate))
