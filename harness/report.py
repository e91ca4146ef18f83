"""The reports of a run: ``terminal``, ``markdown`` and ``html``, and the files of the last two."""

from pathlib import Path

from harness.atomic import write_text
from harness.markdown import markdown
from harness.page import html
from harness.record import RunRecord
from harness.terminal import terminal

__all__ = ["html", "markdown", "terminal", "write"]


def write(record: RunRecord, out: Path) -> None:
    """Write ``report.md`` and ``report.html`` into the folder ``out``; each is replaced whole."""
    write_text(out / "report.md", markdown(record))
    write_text(out / "report.html", html(record))
