"""What a person sees of the proof of power: counts with intervals, a line a plant, ``power.md`` and ``power.json``."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.files import write_text
from phase8.core.safe_text import markdown_text, one_line, visible
from phase8.proofs.power.record import PowerCase, PowerReport
from phase8.stats.proportions import clopper_pearson

_TITLES = (
    ("plant", "Planted regressions", ("caught", "missed", "inconclusive")),
    ("pair", "Identical pairs", ("fine", "regressed", "invalid", "inconclusive")),
)
_SHOWN = 160


def save(report: PowerReport, folder: Path) -> None:
    """Write ``power.json`` and ``power.md``."""
    write_text(folder / "power.json", report.model_dump_json(indent=1) + "\n")
    write_text(folder / "power.md", markdown(report))


def counts(report: PowerReport) -> list[tuple[str, str, str, str]]:
    """What became of plants and pairs: (which, outcome, the gate, pytest-benchmark), shares with 95 % intervals."""
    found = []
    for kind, title, outcomes in _TITLES:
        cases = [case for case in report.cases if case.kind == kind]
        if not cases:
            continue
        compared = [case.benchmark for case in cases if case.benchmark]
        failed = sum(bool(one.failures) for one in compared)
        stock = {outcomes[0]: len(compared) - failed if kind == "pair" else failed}
        stock[outcomes[1]] = len(compared) - stock[outcomes[0]]
        for outcome in outcomes:
            own = sum(case.outcome == outcome for case in cases)
            beside = _share(stock[outcome], len(compared)) if outcome in stock else "knows no such answer"
            found.append((title, outcome, _share(own, len(cases)), beside))
    return found


def markdown(report: PowerReport) -> str:
    """The table for ``docs/power.md`` and for a reader: counts first, then every case."""
    lines = [
        "# Proof of power",
        "",
        f"Run on {report.date} at commit `{report.commit[:12]}` on {report.machine}. Latency limit x {report.limit:g}; "
        f"`pytest-benchmark` is `--benchmark-compare-fail={report.compare_fail}` on the same runs.",
        "",
        "| | outcome | this gate (95 %) | pytest-benchmark (95 %) |",
        "| --- | --- | --- | --- |",
        *("| " + " | ".join(row) + " |" for row in counts(report)),
        "",
        "Intervals are two-sided 95 % Clopper-Pearson. Plants that nothing is timed of run two at a time, so",
        "pytest-benchmark, which compares timings alone, is not asked about them.",
        "",
    ]
    for kind, title, _ in _TITLES:
        cases = [case for case in report.cases if case.kind == kind]
        lines += [f"## {title}", "", *_table(kind, cases), ""] if cases else []
    return "\n".join(lines)


def show(report: PowerReport, console: Console, folder: Path) -> None:
    """Print the counts, every case, and where the reports are."""
    for kind, title, _ in _TITLES:
        cases = [case for case in report.cases if case.kind == kind]
        if cases:
            table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
            for heading in _headings(kind):
                table.add_column(heading, overflow="fold")
            for case in cases:
                table.add_row(*(Text(visible(cell)) for cell in _cells(case)))
            console.print(table)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "outcome", "this gate (95 %)", f"pytest-benchmark {report.compare_fail} (95 %)"):
        table.add_column(heading)
    for row in counts(report):
        table.add_row(*row)
    console.print(table)
    console.print(Text(f"Reports: {folder / 'power.md'}, {folder / 'power.json'}"), soft_wrap=True)


def _table(kind: str, cases: Sequence[PowerCase]) -> list[str]:
    headings = _headings(kind)
    rows = ["| " + " | ".join(markdown_text(cell, 2 * _SHOWN) for cell in _cells(case)) + " |" for case in cases]
    return ["| " + " | ".join(headings) + " |", "| " + " | ".join("---" for _ in headings) + " |", *rows]


def _headings(kind: str) -> tuple[str, ...]:
    who = ("planted", "what") if kind == "plant" else ("pair",)
    return (*who, "this gate", "by", "timed", "pytest-benchmark", "s")


def _cells(case: PowerCase) -> tuple[str, ...]:
    who = (case.name, case.what) if case.kind == "plant" else (case.name,)
    more = f" (and {len(case.by) - 1} more)" if len(case.by) > 1 else ""
    by = one_line(case.by[0], _SHOWN) + more if case.by else ""
    return (*who, case.outcome, by, _timed(case), _stock(case), f"{case.seconds:.0f}")


def _timed(case: PowerCase) -> str:
    told = ", ".join(f"{q.quantity} x {q.ratio:.3f} ({q.low:.3f}-{q.high:.3f})" for q in case.latency)
    dropped = f"; {case.dropped} of {case.blocks} blocks dropped" if case.dropped else f"; {case.blocks} blocks"
    return (told or "no verdict") + (dropped if case.blocks else "")


def _stock(case: PowerCase) -> str:
    if case.benchmark is None:
        return "not asked: not timed"
    if not case.benchmark.failures:
        return f"passes, {case.benchmark.compared} compared"
    return f"fails: {len(case.benchmark.failures)} of {case.benchmark.compared} compared"


def _share(count: int, total: int) -> str:
    if not total:
        return "not asked"
    found = clopper_pearson(count, total)
    return f"{count} of {total} ({found.low:.1%} to {found.high:.1%})"
