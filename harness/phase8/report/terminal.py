"""What a person sees in the terminal at the end of a run."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.safe_text import one_line, visible
from phase8.gates.outcome import Word, outcome
from phase8.gates.verdicts import is_failure, worst_first
from phase8.record.ladder import Answer, LadderRecord, Safety
from phase8.record.run import RunRecord, Verdict
from phase8.report import columns as cells
from phase8.report import ladder_columns as ladder_cells
from phase8.report.rows import Row, rows

_STYLES = {
    "FAIL": "bold red",
    "CONTROL PASSED": "bold red",
    "incomplete": "bold red",
    "inconclusive": "yellow",
    "xfail": "yellow",
    "xpass": "cyan",
    "pass": "green",
    "control fails as it must": "green",
    "not judged": "dim",
}
_WORDS: dict[Word, str] = {"pass": "bold green", "inconclusive": "bold yellow", "fail": "bold red"}
_SAFETY: dict[Safety, str] = {
    "safe": "bold green",
    "not shown to be safe": "bold yellow",
    "not measured": "bold yellow",
    "not safe": "bold red",
}
_CASES_SHOWN = 8


def terminal(record: RunRecord, console: Console, out: Path = Path("reports/latest")) -> None:
    """Print the table of variants, what failed (worst first), the outcome, and where the reports are."""
    found = outcome(record)
    console.print(_table(record, rows(record)))
    if record.survival:
        console.print(_ladder(record.survival))
    told = [verdict for verdict in record.verdicts if is_failure(verdict) or verdict.status == "inconclusive"]
    for verdict in worst_first(told):
        console.print(_verdict_lines(verdict))
    for line in _expected(record):
        console.print(line)
    if record.survival and record.survival.answer:
        _answer(record.survival.answer, console)
    for event in found.events:
        console.print(Text(visible(event), style="bold red"))
    console.print(Text(visible(found.headline), style=_WORDS[found.word]))
    console.print(Text(f"Reports: {out / 'report.html'}, {out / 'report.md'}"), soft_wrap=True)


def _table(record: RunRecord, found: list[Row]) -> Table:
    title = Text(visible(f"{record.profile} on {record.environment.chip}"))
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1, 0, 0)
    )
    table.add_column("variant", overflow="fold", min_width=10)
    headings = ("bits/\nweight", "size", "held-out accuracy\n(95 % interval)", "hard probes\n(95 % interval)")
    for heading in (*headings, "a query", "decode", "memory"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold", min_width=6)
    for row in found:
        texts = [
            *[cells.shown("bits/weight", row), cells.size(row.size_bytes)],
            *[cells.proportion(found).replace(" (", "\n(") for found in (row.held_out, row.probes)],
            *[cells.measure(found).replace(" (", "\n(") for found in (row.query, row.decode)],
            cells.size(row.memory.bytes if row.memory else None),
        ]
        dim = [Text(visible(text), style="dim" if text == cells.NOT_MEASURED else "") for text in texts]
        table.add_row(Text(visible(row.variant)), *dim, Text(row.verdict, style=_STYLES[row.verdict]))
    return table


def _ladder(ladder: LadderRecord) -> Table:
    """Every rung in a line: where on the way from base to codes is behaviour lost?"""
    title = Text(
        f"The ladder: {ladder.rows} held-out rows, {ladder.tokens:,} assistant tokens; {ladder.reference} is 1"
    )
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1, 0, 0)
    )
    table.add_column("rung", overflow="fold", min_width=10)
    for heading in ("held-out", "flips", "NLL", "recovery (95 %)", "mean KL", "99 % KL", "same top", "margin"):
        table.add_column(heading, justify="right", overflow="fold")
    for rung in ladder.rungs:
        tokens, recovery = rung.tokens, rung.recovery
        table.add_row(
            Text(visible(rung.variant)),
            *[f"{found.hits}/{found.prompts}" if found else "" for found in (rung.held_out, rung.flips)],
            cells.number(tokens.nll.value),
            ladder_cells.recovery(recovery).partition(" (n=")[0] if recovery else "",
            *[cells.number(value) for value in (tokens.kl.value, tokens.kl_p99)],
            ladder_cells.percent(tokens.same_top.value),
            f"{rung.margin.value:+.2f}",
        )
    return table


def _answer(found: Answer, console: Console) -> None:
    """The smallest safe width and what it rests on, then why others are not."""
    console.print(Text(visible(found.line), style=_SAFETY[found.safety]))
    for note in found.notes:
        console.print(Text(f"  {visible(note)}"))


def _expected(record: RunRecord) -> list[Text]:
    """One line for each variant whose gates failed as expected, or passed although nobody asked for it."""
    gates: dict[tuple[str, str], list[str]] = {}
    for verdict in record.verdicts:
        if verdict.status in ("xfail", "xpass") and not is_failure(verdict):
            gates.setdefault((verdict.status, verdict.variant), []).append(verdict.gate)
    return [
        Text.assemble((f"{status} ", "yellow" if status == "xfail" else "cyan"), visible(f"{name}: {', '.join(found)}"))
        for (status, name), found in gates.items()
    ]


def _verdict_lines(verdict: Verdict) -> Text:
    style = "bold red" if is_failure(verdict) else "yellow"
    text = Text.assemble((f"{verdict.status} ", style), visible(f"{verdict.variant} {verdict.gate}"))
    if value := cells.against_limit(verdict):
        text.append(visible(f": {value}"))
    if verdict.detail:
        text.append(f"\n    {one_line(verdict.detail, 300)}")
    if verdict.failures:
        named = ", ".join(one_line(case, 80) for case in verdict.failures[:_CASES_SHOWN])
        rest = len(verdict.failures) - _CASES_SHOWN
        text.append(f"\n    cases: {named}" + (f" and {rest:,} more" if rest > 0 else ""))
    return text
