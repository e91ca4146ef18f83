"""The history of a lane: accuracy, speed, memory and margin over its runs, alone or as a part of a run's page. Pure."""

from collections.abc import Callable, Sequence
from itertools import cycle, pairwise
from statistics import median
from typing import NamedTuple

from phase8.core.safe_text import visible
from phase8.drawing.svg import Chart, inline_axes
from phase8.drawing.templating import html_template
from phase8.history.file import Summary, VariantSummary
from phase8.report.charts import COLOURS
from phase8.stats.change_points import LEAST_RUNS, change_points

_MOST_MARKED = 200  # runs: with more a mark for each tells nothing and makes a page of megabytes


class Change(NamedTuple):
    """A lasting change of one quantity of one variant; ``before`` and ``after`` are medians of the stretches."""

    quantity: str
    variant: str
    before: float
    after: float
    run: Summary


class Course(NamedTuple):
    """How a lane went: one chart a quantity, lasting changes with the latest first, and what to say without one."""

    runs: tuple[Summary, ...]
    charts: tuple[Chart, ...]
    changes: tuple[Change, ...]
    unchanged: str


class Line(NamedTuple):
    """One variant's values by position of the run, and where they change for good."""

    variant: str
    positions: list[int]
    values: list[float]
    changes: list[int]


def _accuracy(variant: VariantSummary) -> float | None:
    return 100 * variant.right / variant.asked if variant.asked else None


def _memory(variant: VariantSummary) -> float | None:
    return variant.memory_bytes / 1e9 if variant.memory_bytes else None


QUANTITIES: dict[str, Callable[[VariantSummary], float | None]] = {
    "Held-out accuracy, %": _accuracy,
    "Decode, tokens/s": lambda variant: variant.decode_tokens_per_s,
    "Memory, GB": _memory,
    "Decision margin, ln odds": lambda variant: variant.margin,
}


def page(lane: str, runs: Sequence[Summary]) -> str:
    """The page of a lane; ``runs`` oldest first, at least one."""
    return html_template("history.html.j2").render(lane=lane, course=course(runs), number=change_number)


def course(runs: Sequence[Summary]) -> Course:
    """Charts and lasting changes of a lane; ``runs`` oldest first, at least one."""
    charts, changes = [], []
    for title, read in QUANTITIES.items():
        lines = [_line(name, runs, read) for name in _names(runs)]
        lines = [line for line in lines if line.values]
        charts.append(_chart(title, lines))
        changes += [change for line in lines for change in _changes(title, line, runs)]
    enough = len(runs) >= LEAST_RUNS
    unchanged = "No lasting change was found." if enough else f"Changes are looked for from {LEAST_RUNS} runs on."
    changes.sort(key=lambda change: change.run.started, reverse=True)
    return Course(tuple(runs), tuple(charts), tuple(changes), unchanged)


def change_number(value: float) -> str:
    """Four significant digits: a change of 1 % is to be seen."""
    return f"{value:.4g}"


def _names(runs: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(variant.name for run in reversed(runs) for variant in run.variants))


def _line(name: str, runs: Sequence[Summary], read: Callable[[VariantSummary], float | None]) -> Line:
    found = [(i, read(v)) for i, run in enumerate(runs) for v in run.variants if v.name == name]
    measured = [(i, value) for i, value in found if value is not None]
    values = [value for _, value in measured]
    return Line(name, [i for i, _ in measured], values, change_points(values))


def _changes(title: str, line: Line, runs: Sequence[Summary]) -> list[Change]:
    ends = [0, *line.changes, len(line.values)]
    stretches = [line.values[start:end] for start, end in pairwise(ends)]
    pairs = zip(line.changes, stretches[:-1], stretches[1:], strict=True)
    return [
        Change(title, line.variant, median(before), median(after), runs[line.positions[at]])
        for at, before, after in pairs
    ]


def _chart(title: str, lines: Sequence[Line]) -> Chart:
    if not lines:
        return Chart(title, "", "Not measured in any run.")
    colours = cycle(COLOURS)
    with inline_axes(f"Over the runs: {title}") as (axes, svg):
        marker = "." if max(line.positions[-1] for line in lines) < _MOST_MARKED else ""
        for line in lines:
            colour = next(colours)
            axes.plot(
                line.positions, line.values, color=colour, label=visible(line.variant), linewidth=1, marker=marker
            )
            for at in line.changes:
                axes.axvline(line.positions[at], color=colour, linewidth=1, linestyle=":")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("run, oldest first")
    return Chart(title, svg[0], "A dotted line is where a variant of its colour changed for good.")
