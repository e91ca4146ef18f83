"""What a person sees of the outside benchmark: a table in the terminal, ``bfcl.md``; and ``bfcl.json`` with all."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.files import write_text
from phase8.core.safe_text import one_line, visible
from phase8.drawing.templating import html_template
from phase8.proofs.bfcl.run import Figures, Report
from phase8.report import columns as cells

NOTE = (
    "These figures gate nothing. They are of this model asked as its profile asks, with one line a function and "
    "no descriptions, so they are not those of the public leaderboard; a small model is expected to score low."
)
RULES = (
    "call or no call: the share of replies that call where the function offered answers the question (simple_python), "
    "or answer in text where it does not (irrelevance). A call that nothing could execute and an empty reply are wrong "
    "in both.",
    "argument match: the share of all items whose reply is the one right call: the function's name, every argument "
    "that is needed, no other, and each value among those that the benchmark accepts.",
    "Intervals are two-sided 95 % Clopper-Pearson. Seconds are those of asking, when the replies were made.",
)
_EXCERPT = 160


def save(report: Report, folder: Path) -> None:
    """Write ``bfcl.json`` and ``bfcl.md``."""
    write_text(folder / "bfcl.json", report.model_dump_json(indent=1) + "\n")
    write_text(folder / "bfcl.md", markdown(report))


def markdown(report: Report) -> str:
    """The report as Markdown: figures, kinds of misses, every miss with the beginning of its reply, environment."""
    misses = [
        (item.id, one_line(item.reason, 200), one_line(item.reply, _EXCERPT)) for item in report.items if item.reason
    ]
    return html_template("bfcl.md.j2").render(  # its texts stand in <pre>, as HTML
        report=report, note=NOTE, rules=RULES, rows=[_cells(found) for found in report.figures], misses=misses
    )


def show(report: Report, console: Console, folder: Path) -> None:
    """Print the table, how each category missed, what the figures are not, and where the reports are."""
    version = report.distribution_version or "of unknown version"
    title = f"{report.variant} of {report.profile} on {report.distribution} {version}"
    table = Table(title=Text(visible(title)), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("category")
    for heading in ("n", "call or no call (95 %)", "argument match (95 %)", "seconds"):
        table.add_column(heading, justify="right")
    for found in report.figures:
        table.add_row(*_cells(found))
    console.print(table)
    for found in report.figures:
        if found.misses:
            told = ", ".join(f"{kind} {count}" for kind, count in found.misses.items())
            console.print(Text(visible(f"{found.category} misses: {told}")))
    console.print(Text(NOTE))
    console.print(Text(f"Reports: {folder / 'bfcl.json'}, {folder / 'bfcl.md'}"), soft_wrap=True)


def _cells(found: Figures) -> tuple[str, ...]:
    matched = cells.proportion(found.matched) if found.matched else "not applicable"
    return (
        found.category,
        str(found.decided.trials),
        cells.proportion(found.decided),
        matched,
        f"{found.seconds:.1f}",
    )
