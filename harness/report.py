"""The reports of a run: ``terminal``, ``markdown`` and ``html``, and the files of the last two."""

from pathlib import Path

from harness.atomic import write_text
from harness.finding import GateReport
from harness.history import LaneRuns
from harness.markdown import markdown
from harness.page import html
from harness.record import RunRecord
from harness.terminal import terminal

__all__ = ["html", "markdown", "terminal", "write"]


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
