"""``python -m harness history``: list, show, compare, plot and accept runs."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.errors import InvalidInput
from phase8.core.files import write_text
from phase8.core.safe_text import one_line, visible
from phase8.core.store import HISTORY
from phase8.history import lanes as history
from phase8.history.file import VariantSummary, read
from phase8.history.lanes import Listed


def history_command(options: argparse.Namespace, console: Console) -> int:
    """Run one action."""
    actions = {"list": _list, "show": _show, "compare": _compare, "plot": _plot, "accept": _accept}
    return actions[options.action](options, console)


def _roots(options: argparse.Namespace) -> tuple[Path, Path]:
    """Where every run is kept, and where accepted ones are."""
    return options.build / HISTORY, options.history


def _list(options: argparse.Namespace, console: Console) -> int:
    root = options.history if options.accepted else _roots(options)[0]
    known = history.lanes(root)
    chosen = _lanes(options.lane, known, root) if options.lane or known else []
    if not chosen:
        console.print(f"no runs in {root}", highlight=False, soft_wrap=True)
        return 0
    damaged = False
    for lane in chosen:
        runs = history.listed(root, lane)
        console.print(Text(visible(f"{lane}: {len(runs)} runs in {root / lane}")), soft_wrap=True)
        console.file.write("\n".join(_lines(runs[-options.last :] if options.last else runs)) + "\n")
        for run in runs:
            if run.fault:
                damaged = True
                console.print(Text(visible(run.fault), style="red"), soft_wrap=True)
    return 2 if damaged else 0


def _lanes(part: str | None, known: list[str], root: Path) -> list[str]:
    chosen = [lane for lane in known if part is None or part == lane] or [
        lane for lane in known if part and part in lane
    ]
    if not chosen:
        raise InvalidInput(f"lane {part!r} is not in {root}. There are: {', '.join(known) or 'none'}.")
    return chosen


def _lines(runs: list[Listed]) -> list[str]:
    """The runs in columns; plain text, since a table of thousands of rows takes rich seconds."""
    rows = [("run", "outcome", "held-out %", "decode tokens/s", "memory GB", "accepted"), *map(_row, runs)]
    shown = [[one_line(cell, 80) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]


def _row(run: Listed) -> tuple[str, ...]:
    found = run.summary
    if found is None:
        return run.path.stem, "damaged", "", "", "", ""
    state = found.outcome + (", partial" if found.partial else "") + (", dirty" if found.dirty else "")
    judged = [variant for variant in found.variants if variant.role == "production"] or list(found.variants)
    return run.path.stem, state, *_ranges(judged), found.accepted.reason if found.accepted else ""


def _ranges(variants: list[VariantSummary]) -> list[str]:
    """Worst to best of the production variants."""
    columns = (
        [100 * v.right / v.asked for v in variants if v.asked],
        [v.decode_tokens_per_s for v in variants if v.decode_tokens_per_s],
        [v.memory_bytes / 1e9 for v in variants if v.memory_bytes],
    )
    units = ("{:.1f}", "{:.1f}", "{:.2f}")
    texts = []
    for values, unit in zip(columns, units, strict=True):
        ends = dict.fromkeys(unit.format(value) for value in (min(values), max(values))) if values else {}
        texts.append("-".join(ends) or "not measured")
    return texts


def _show(options: argparse.Namespace, console: Console) -> int:
    from phase8.report.terminal import terminal

    stored = read(history.find(options.run, _roots(options)))
    terminal(stored.record, console, stored.path.parent)
    if stored.summary.accepted:
        kept = stored.summary.accepted
        console.print(Text(visible(f"accepted {kept.time} at {kept.commit}: {kept.reason}")), soft_wrap=True)
    console.print(Text(visible(f"verified: {stored.path}")), soft_wrap=True)
    return 0


def _compare(options: argparse.Namespace, console: Console) -> int:
    from phase8.report.compare import compare, render

    first, second = (read(history.find(run, _roots(options))) for run in options.runs)
    render(compare(first.record, second.record), console)
    a, b = first.medians_s(), second.medians_s()
    table = Table("benchmark, median s", "a", "b", "b / a", box=None, pad_edge=False)
    for name in dict.fromkeys([*a, *b]):
        ratio = f"{b[name] / a[name]:.3f}" if name in a and name in b and a[name] else ""
        values = [f"{found[name]:.9g}" if name in found else "not measured" for found in (a, b)]
        table.add_row(*[Text(visible(text)) for text in (name.rpartition("::")[2], *values, ratio)])
    console.print(table)
    if first.summary.lane != second.summary.lane:
        console.print("Two lanes: seconds of different machines or profiles say nothing of a change.")
    return 0


def _plot(options: argparse.Namespace, console: Console) -> int:
    from phase8.report.history import page

    root = options.history if options.accepted else _roots(options)[0]
    for lane in _lanes(options.lane, history.lanes(root), root):
        runs = history.listed(root, lane)
        if faults := [run.fault for run in runs if run.fault]:
            raise InvalidInput("\n".join(faults))
        out = options.out / f"{lane}.html"
        write_text(out, page(lane, [run.summary for run in runs if run.summary]))
        console.print(str(out), highlight=False, soft_wrap=True)
    return 0


def _accept(options: argparse.Namespace, console: Console) -> int:
    path = history.accept(options.run, options.reason, *_roots(options), options.allow)
    console.print(f"accepted: {path}\ncommit it with its replies beside it", highlight=False, soft_wrap=True)
    return 0
