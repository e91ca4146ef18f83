"""What blocks of A B B A say of each quantity as a picture: the change's median over the baseline's, and the limit.

A panel a variant, a row a quantity: the dot is the ratio of medians, the line its bounds. Drawn by hand, in the page's
own colours, so that it reads in both themes.
"""

from collections.abc import Sequence
from html import escape

from phase8.core.safe_text import one_line
from phase8.drawing.svg import Chart
from phase8.record.ab_blocks import BlockedLatency, QuantityVerdict
from phase8.report.plots.latency import TITLES

_WIDE, _LABEL, _ROW, _HEAD, _FOOT, _SIDE = 360, 126, 22, 6, 34, 10
_COLOURS = {"fine": "var(--good)", "regressed": "var(--bad)", "inconclusive": "var(--open)"}


def blocks_plots(latency: Sequence[BlockedLatency]) -> list[Chart]:
    """One chart for each variant that was timed in blocks; one without a verdict says why."""
    return [_plot(one) for one in latency]


def _plot(one: BlockedLatency) -> Chart:
    title = f"{one_line(one.variant, 60)}: seconds over the baseline's"
    dropped = sum(bool(block.dropped) for block in one.blocks)
    parts = [f"{len(one.blocks)} blocks, {dropped} of them dropped: the machine was disturbed." if dropped else ""]
    parts += [f"At most {one.limit:g} is allowed." if one.quantities else "", f"{one.why}." if one.why else ""]
    return Chart(title, _svg(title, one) if one.quantities else "", " ".join(part for part in parts if part))


def _svg(title: str, one: BlockedLatency) -> str:
    ends = [end for found in one.quantities for end in (found.low, found.high, found.ratio)]
    low, high = min(1.0, *ends), max(one.limit, *ends)
    room = (high - low) * 0.08
    low, high, height = low - room, high + room, _HEAD + _ROW * len(one.quantities) + _FOOT
    bottom = height - _FOOT + 2
    parts = [_mark(1.0, "1", low, high, bottom, "2 3"), _mark(one.limit, f"{one.limit:g}", low, high, bottom, "")]
    parts += [_row(found, _HEAD + _ROW * at, low, high) for at, found in enumerate(one.quantities)]
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDE} {height}" font-size="11" '
        f'font-family="sans-serif" fill="currentColor">{"".join(parts)}</svg>'
    )


def _mark(at: float, text: str, low: float, high: float, bottom: int, dashes: str) -> str:
    x, dashed = _place(at, low, high), f' stroke-dasharray="{dashes}"' if dashes else ""
    down = 14 if dashes else 27  # the two texts may be close together
    return (
        f'<path d="M{x:.1f} 0V{bottom}" stroke="currentColor" stroke-opacity=".5"{dashed}/>'
        f'<text x="{x:.1f}" y="{bottom + down}" text-anchor="middle">{text if dashes else f"limit {text}"}</text>'
    )


def _row(found: QuantityVerdict, top: int, low: float, high: float) -> str:
    y, colour = top + _ROW / 2, _COLOURS[found.outcome]
    left, x, right = (_place(value, low, high) for value in (found.low, found.ratio, found.high))
    name = TITLES.get(found.quantity, found.quantity)
    told = f"{name}: x {found.ratio:.3f} ({found.low:.3f} to {found.high:.3f}), {found.blocks} blocks, {found.outcome}"
    return (
        f"<g><title>{escape(told)}</title>"
        f'<text x="{_LABEL - 8}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>'
        f'<g style="stroke: {colour}; fill: {colour}"><path d="M{left:.1f} {y:g}H{right:.1f}" stroke-width="3"/>'
        f'<circle cx="{x:.1f}" cy="{y:g}" r="4"/></g></g>'
    )


def _place(value: float, low: float, high: float) -> float:
    return _LABEL + _SIDE + (_WIDE - _LABEL - 2 * _SIDE) * (value - low) / (high - low)
