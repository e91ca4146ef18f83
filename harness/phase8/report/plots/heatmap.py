"""What quantising left of the delta as pictures: layer x module, one panel a width. SVG without scripts.

One colour in shades of opacity reads on white and on black; each cell's value is in its tooltip. Definitions and
sources are those of ``engine.integrity.delta_stats``. Nothing here is a verdict: with a delta of an eighth of the step
a tenth of the codes change at 4 bits and four fifths at 8, so such a number alone proves nothing.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import log10
from typing import NamedTuple

from phase8.core.safe_text import visible
from phase8.record.integrity import ModuleDelta
from phase8.record.ladder import FolderDiagnosis
from phase8.report.columns import number

_CELL, _LABEL, _HEAD, _FOOT = 14, 118, 16, 16
_WIDE = 340  # units at least, so that a model of few layers is not drawn larger than others
_COLOUR = "#3b82c4"


class Quantity(NamedTuple):
    """One diagnostic: how it is read, and whether its scale is logarithmic."""

    title: str
    meaning: str
    read: Callable[[ModuleDelta], float | None]
    logarithmic: bool


class Heatmap(NamedTuple):
    """One quantity: its panels, and a caption that says what pale and full mean."""

    title: str
    meaning: str
    panels: tuple[str, ...]
    caption: str


QUANTITIES = (
    Quantity(
        "Share of codes that differ from the zero-delta control's",
        "Where nothing differs, the codes are those of the base alone: the adapter is missing there.",
        lambda m: m.codes_changed,
        False,
    ),
    Quantity(
        "Correlation of what changed with the delta",
        "deq Q(W + delta) - deq Q(W) against the delta; low where rounding drowns it, which averages out over a row.",
        lambda m: m.correlation,
        False,
    ),
    Quantity(
        "Share of the delta that is there",
        "The least-squares share of the delta in what changed: 1 is all of it, 0 nothing, 2 twice.",
        lambda m: m.delta_share,
        False,
    ),
    Quantity(
        "Energy of what changed over the delta's",
        "1 is the delta alone; what is above it is rounding noise that came with it.",
        lambda m: m.energy,
        True,
    ),
    Quantity(
        "Quantisation step over the delta's RMS",
        "Above about 1 a single weight's delta is smaller than a step and survives only on average.",
        lambda m: m.step_over_delta,
        True,
    ),
)


def heatmaps(diagnoses: Sequence[FolderDiagnosis]) -> list[Heatmap]:
    """One heatmap a quantity that was measured anywhere; panels in the order of the diagnoses, one scale for all."""
    found = []
    for quantity in QUANTITIES:
        values = [v for one in diagnoses for m in one.modules if (v := _scaled(quantity, m)) is not None]
        if values:
            found.append(_heatmap(quantity, diagnoses, min(values), max(values)))
    return found


def _heatmap(quantity: Quantity, diagnoses: Sequence[FolderDiagnosis], low: float, high: float) -> Heatmap:
    panels = tuple(_panel(quantity, one, low, high) for one in diagnoses if one.modules)
    ends = [number(10**end if quantity.logarithmic else end) for end in (low, high)]
    scale = ", logarithmic" if quantity.logarithmic else ""
    return Heatmap(quantity.title, quantity.meaning, panels, f"Pale is {ends[0]}, full {ends[1]}{scale}.")


def _scaled(quantity: Quantity, module: ModuleDelta) -> float | None:
    value = quantity.read(module)
    if value is None or not quantity.logarithmic:
        return value
    return log10(value) if value > 0 else None


def _panel(quantity: Quantity, one: FolderDiagnosis, low: float, high: float) -> str:
    """One width: a row a kind of module, a column a layer."""
    layers = sorted({m.layer for m in one.modules}, key=lambda layer: -1 if layer is None else layer)
    names = list(dict.fromkeys(m.name for m in one.modules))
    width, height = max(_WIDE, _LABEL + _CELL * len(layers) + 2), _HEAD + _CELL * len(names) + _FOOT
    parts = [f'<text x="0" y="11" font-weight="bold">{_safe(one.variant)}</text>']
    for row, name in enumerate(names):
        y, short = _HEAD + _CELL * row + 10, ".".join(name.split(".")[-2:])
        parts.append(f'<text x="{_LABEL - 4}" y="{y}" text-anchor="end">{_safe(short[-24:])}</text>')
    for module in one.modules:
        x, y = _LABEL + _CELL * layers.index(module.layer), _HEAD + _CELL * names.index(module.name)
        parts.append(_cell(quantity, module, x, y, low, high))
    ends = dict.fromkeys((0, len(layers) - 1))
    parts += [
        f'<text x="{_LABEL + _CELL * at + _CELL / 2:g}" y="{height - 4}" text-anchor="middle">'
        f"{'–' if layers[at] is None else layers[at]}</text>"
        for at in ends
    ]
    label = _safe(f"{quantity.title}, {one.variant}")
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" font-size="9" '
        f'font-family="sans-serif" fill="currentColor">{"".join(parts)}</svg>'
    )


def _cell(quantity: Quantity, module: ModuleDelta, x: int, y: int, low: float, high: float) -> str:
    scaled, value = _scaled(quantity, module), quantity.read(module)
    told = "not measured" if value is None else number(value)
    place = f'x="{x}" y="{y}" width="{_CELL - 1}" height="{_CELL - 1}"'
    title = f"<title>{_safe(module.path)}: {told}</title>"
    if scaled is None:
        return f'<rect {place} fill="none" stroke="currentColor" stroke-opacity="0.3">{title}</rect>'
    opacity = 0.08 + 0.92 * ((scaled - low) / (high - low) if high > low else 1.0)
    return f'<rect {place} fill="{_COLOUR}" fill-opacity="{opacity:.2f}">{title}</rect>'


def _safe(text: str) -> str:
    return escape(visible(text))
