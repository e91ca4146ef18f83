"""Every timing as a picture: one plot a quantity, one strip a variant, a dot a sample. Pure; SVG without scripts.

A mean hides a slow first round and a drift; dots in the order of measuring show both. Drawn by hand, since a thousand
dots take kilobytes as one path and hundreds of them as matplotlib's markers.
"""

from collections.abc import Iterable, Sequence
from html import escape
from math import floor, log10
from statistics import median, quantiles
from typing import NamedTuple

from phase8.core.safe_text import one_line
from phase8.drawing.svg import Chart
from phase8.record.run import Samples, VariantRecord
from phase8.report.charts import colours
from phase8.report.columns import number

_WIDE, _ROW, _BAND, _SIDE, _FOOT = 360, 42, 20, 8, 34
_MOST_DOTS = 400
_ENOUGH = 4  # values from which on a middle half says something
TITLES = {
    "load_s": "Load",
    "ttft_cold_s": "First token, cold",
    "ttft_warm_s": "First token, warm",
    "query_s": "A canonical query",
    "prefill_tokens_per_s": "Prefill",
    "prefill_s": "Prefill",
    "token_s": "Between two tokens",
    "decode_tokens_per_s": "Decode",
    "fixed_work_s": "A round of fixed work",
}


class Strip(NamedTuple):
    """The samples of one variant, in the order of measuring, and its colour."""

    variant: str
    values: Sequence[float]
    colour: str


def latency_plots(variants: Sequence[VariantRecord], names: Iterable[str]) -> list[Chart]:
    """One plot for each quantity that any variant was timed for.

    Args:
        variants: as in the record; a variant without samples of a quantity is named in its caption.
        names: all variants of the page, which give each its colour.
    """
    shades = colours(names)
    quantities = dict.fromkeys(name for variant in variants for name, found in variant.latency.items() if found.values)
    return [_plot(name, variants, shades) for name in quantities]


def _plot(name: str, variants: Sequence[VariantRecord], shades: dict[str, str]) -> Chart:
    found = {v.name: v.latency[name] for v in variants if name in v.latency and v.latency[name].values}
    units = dict.fromkeys(samples.unit for samples in found.values())
    unit = next(iter(units))
    strips = [Strip(v, s.values, shades[v]) for v, s in found.items() if s.unit == unit]
    drawn = {strip.variant for strip in strips}
    title = f"{TITLES.get(name, one_line(name, 60))}, {one_line(unit, 20)}"
    return Chart(title, _svg(title, strips), _caption(unit, found, [v.name for v in variants if v.name not in drawn]))


def _caption(unit: str, found: dict[str, Samples], left_out: Sequence[str]) -> str:
    parts = ["Less is better." if unit == "s" else "More is better." if unit.endswith("/s") else ""]
    parts += [f"{what[:1].upper()}{what[1:]}." for what in dict.fromkeys(s.what for s in found.values() if s.what)]
    if any(len(samples.values) > _MOST_DOTS for samples in found.values()):
        parts.append(f"At most {_MOST_DOTS} dots of a variant are drawn, evenly spaced in time.")
    if left_out:
        parts.append(f"Not measured, or in another unit: {', '.join(left_out)}.")
    return " ".join(part for part in parts if part)


def _svg(title: str, strips: Sequence[Strip]) -> str:
    values = [value for strip in strips for value in strip.values]
    low, high = _ends(min(values), max(values))
    height = _ROW * len(strips) + _FOOT
    parts = [_axis(low, high, height)]
    parts += [_strip(strip, _ROW * row, low, high) for row, strip in enumerate(strips)]
    return (
        f'<svg role="img" aria-label="{_safe(title)}" viewBox="0 0 {_WIDE} {height}" font-size="11" '
        f'font-family="sans-serif" fill="currentColor">{"".join(parts)}</svg>'
    )


def _ends(low: float, high: float) -> tuple[float, float]:
    """A little more than the data's range; from 0 where that is near."""
    room = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    return (0.0 if 0 <= low < 0.5 * high else low - room), high + room


def _axis(low: float, high: float, height: int) -> str:
    bottom = height - _FOOT + 6
    parts = []
    for tick in _ticks(low, high):
        x = _place(tick, low, high)
        anchor = "start" if x < 20 else "end" if x > _WIDE - 20 else "middle"
        parts.append(
            f'<path d="M{x:.1f} 0V{bottom}" stroke="currentColor" stroke-opacity=".15"/>'
            f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="{anchor}" fill-opacity=".8">{tick:g}</text>'
        )
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between the ends."""
    raw = (high - low) / 4
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = floor(low / step) + 1, floor(high / step + 1e-9)
    return [float(f"{step * n:.10g}") for n in range(first if low else 0, last + 1)]


def _strip(strip: Strip, top: int, low: float, high: float) -> str:
    """The variant's name and median above, its dots below: the first round at the top of the band."""
    values, middle = strip.values, median(strip.values)
    told = f"median {number(middle)}, n={len(values):,}" if len(values) > 1 else f"{number(middle)}, n=1"
    shown = values if len(values) <= _MOST_DOTS else [values[i * len(values) // _MOST_DOTS] for i in range(_MOST_DOTS)]
    band = top + 16
    dots = "".join(
        f"M{_place(value, low, high):.1f} {band + 3 + (_BAND - 6) * (i + 0.5) / len(shown):.1f}h0"
        for i, value in enumerate(shown)
    )
    x = _place(middle, low, high)
    stroke = f'<path d="M{x:.1f} {band}v{_BAND}" stroke="currentColor" stroke-width="1.5"/>' if len(values) > 1 else ""
    return (
        f"<g><title>{_safe(strip.variant)}: {told}, {number(min(values))} to {number(max(values))}</title>"
        f'<text x="{_SIDE}" y="{top + 12}" font-weight="600">{_safe(one_line(strip.variant, 28))}</text>'
        f'<text x="{_WIDE - _SIDE}" y="{top + 12}" text-anchor="end" fill-opacity=".8">{told}</text>'
        f"{_middle_half(values, band, low, high, strip.colour)}"
        f'<path d="{dots}" fill="none" stroke="{strip.colour}" stroke-width="5" stroke-linecap="round" '
        f'stroke-opacity=".8"/>{stroke}</g>'
    )


def _middle_half(values: Sequence[float], band: int, low: float, high: float, colour: str) -> str:
    if len(values) < _ENOUGH:
        return ""
    quarter, _, three = quantiles(values, n=4, method="inclusive")
    left, right = _place(quarter, low, high), _place(three, low, high)
    return (
        f'<rect x="{left:.1f}" y="{band}" width="{max(right - left, 1):.1f}" height="{_BAND}" rx="2" '
        f'fill="{colour}" fill-opacity=".22"/>'
    )


def _place(value: float, low: float, high: float) -> float:
    return _SIDE + (_WIDE - 2 * _SIDE) * (value - low) / (high - low)


def _safe(text: str) -> str:
    return escape(one_line(text, 200))
