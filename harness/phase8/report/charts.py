"""Charts of a run: each measure against bits per weight, and the training loss."""

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from math import log2
from typing import Any, NamedTuple

from phase8.core.safe_text import visible
from phase8.drawing.svg import Chart, inline_axes
from phase8.record.run import TrainingRecord
from phase8.report.rows import Measure, Row

COLOURS = ("#3b82c4", "#c2703d", "#2f8f5b", "#a45cc0", "#b8860b", "#c74a6b", "#2a94a0", "#7d7f86")
_MARKERS = {"production": "o", "candidate": "s", "control": "X"}
_TICKS = (2, 3, 4, 5, 6, 8, 16, 32)
_APART = 0.07  # octaves between points of the same width


class Point(NamedTuple):
    """One variant in a chart; ``low`` and ``high`` are the ends of its interval, the value itself without one."""

    row: Row
    value: float
    low: float
    high: float
    colour: str


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each variant, the same in every chart of a page."""
    return dict(zip(dict.fromkeys(names), cycle(COLOURS), strict=False))


def charts(rows: Sequence[Row]) -> tuple[Chart, ...]:
    """Accuracy, seconds a query, decode rate and memory, each against bits per weight."""
    return (
        _chart("Held-out accuracy, %", rows, _accuracy, (0, 105)),
        _chart(f"Mean time of a query, {_unit(rows, 'query', 's')}", rows, lambda row: _mean(row.query)),
        _chart(f"Decode, {_unit(rows, 'decode', 'tokens/s')}", rows, lambda row: _mean(row.decode)),
        _chart("Memory, GB", rows, _memory),
    )


def training_chart(training: TrainingRecord) -> Chart:
    """Loss on the training and the validation split against iterations."""
    title = "Training loss, nats a token"
    lines = {"train": (training.train_loss, "#3b82c4"), "valid": (training.valid_loss, "#c2703d")}
    if not any(points for points, _ in lines.values()):
        return Chart(title, "", "No loss was recorded.")
    with inline_axes(title) as (axes, svg):
        for name, (points, colour) in lines.items():
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=name, linewidth=1.5, marker="o", markersize=3)
        axes.set_xlabel("iteration")
        axes.set_ylim(bottom=0)
    ends = [f"{name} {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, (points, _) in lines.items() if points]
    return Chart(title, svg[0], f"First to last: {'; '.join(ends)}.")


Read = Callable[[Row], tuple[float, float, float] | None]


def _chart(title: str, rows: Sequence[Row], read: Read, limits: tuple[float, float] | None = None) -> Chart:
    shades = colours(row.variant for row in rows)
    found = [(row, read(row)) for row in rows if row.bits_per_weight]
    points = [Point(row, *values, shades[row.variant]) for row, values in found if values]
    drawn = {point.row.variant for point in points}
    left_out = [row.variant for row in rows if row.variant not in drawn]
    caption = f"Not measured, or without bits per weight: {', '.join(left_out)}." if left_out else ""
    if not points:
        return Chart(title, "", caption or "No variant was measured.")
    with inline_axes(title) as (axes, svg):
        _draw(axes, points, limits)
    return Chart(title, svg[0], caption)


def _draw(axes: Any, points: Sequence[Point], limits: tuple[float, float] | None) -> None:
    placed = _dodged(points)
    for x, point in placed:
        below, above = point.value - point.low, point.high - point.value
        axes.errorbar(
            x,
            point.value,
            yerr=([max(below, 0)], [max(above, 0)]) if below or above else None,
            fmt=_MARKERS[point.row.role],
            color=point.colour,
            capsize=3,
            markersize=6,
            label=visible(point.row.variant),
        )
    lowest, highest = min(x for x, _ in placed), max(x for x, _ in placed)
    axes.set_xlim(lowest - 0.25, highest + 0.25)
    ticks = [tick for tick in _TICKS if lowest - 0.25 <= log2(tick) <= highest + 0.25]
    axes.set_xticks([log2(tick) for tick in ticks], [str(tick) for tick in ticks])
    axes.set_xlabel("bits per weight")
    axes.set_ylim(limits or (0, 1.15 * max(point.high for point in points) or 1))


def _dodged(points: Sequence[Point]) -> list[tuple[float, Point]]:
    """Points with their place on the axis (log2 of the bits); those of one width stand side by side."""
    placed: list[tuple[float, Point]] = []
    for point in sorted(points, key=lambda point: (point.row.bits_per_weight, point.row.variant)):
        x = log2(point.row.bits_per_weight or 1)
        placed.append((max(x, placed[-1][0] + _APART) if placed else x, point))
    return placed


def _accuracy(row: Row) -> tuple[float, float, float] | None:
    found = row.held_out
    return (found.share * 100, found.interval.low * 100, found.interval.high * 100) if found else None


def _mean(found: Measure | None) -> tuple[float, float, float] | None:
    return (found.value, found.value, found.value) if found else None


def _memory(row: Row) -> tuple[float, float, float] | None:
    used = row.memory.bytes / 1e9 if row.memory else None
    return (used, used, used) if used is not None else None


def _unit(rows: Sequence[Row], measure: str, otherwise: str) -> str:
    return visible(next((found.unit for row in rows if (found := getattr(row, measure))), otherwise))
