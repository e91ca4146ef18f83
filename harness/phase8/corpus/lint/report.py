"""What ``data --check`` prints: a table of faults by line, what was looked at, and the count of both kinds."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.safe_text import one_line, visible
from phase8.corpus.lint.check import Checked

SHOWN = 200
_TEXT = 300
_STYLES = {"error": "red", "warning": "yellow"}


def show(checked: Checked, console: Console) -> None:
    """Print the faults, at most ``SHOWN`` of them, then the notes and the summary."""
    if checked.faults:
        console.print(_table(checked))
    if (rest := len(checked.faults) - SHOWN) > 0:
        console.print(Text(f"... and {rest:,} more"))
    for note in checked.notes:
        console.print(Text(visible(note)), soft_wrap=True)
    colour = "bold red" if checked.errors else "bold yellow" if checked.faults else "bold green"
    console.print(Text(summary(checked), style=colour), soft_wrap=True)


def summary(checked: Checked) -> str:
    """Errors, warnings and rows in one line."""
    warnings = len(checked.faults) - checked.errors
    counted = [_count(checked.errors, "error"), _count(warnings, "warning"), _count(checked.rows, "row")]
    return f"{counted[0]} and {counted[1]} in {counted[2]}"


def _table(checked: Checked) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1, 0, 0))
    table.add_column("line", justify="right", no_wrap=True)
    for heading in ("severity", "rule"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what is wrong", overflow="fold")
    for fault in checked.faults[:SHOWN]:
        line = "file" if fault.line is None else str(fault.line)
        severity = Text(fault.severity, style=_STYLES[fault.severity])
        table.add_row(line, severity, fault.rule, Text(one_line(fault.text, _TEXT)))
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
