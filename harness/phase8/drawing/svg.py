"""Charts as inline SVG elements for a page that loads nothing.

Colours are to be mid-tones that read on white and on black; axes and text take the page's own colour. The same
drawing gives the same bytes.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from html import escape
from io import StringIO
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# In points. Room is left for what stands around the axes: matplotlib's own layouts draw every chart twice to find it.
_WIDE, _HIGH = 317, 252
_LEFT, _RIGHT, _TOP, _TICKS = 54, 10, 8, 38
_LEGEND_SIZE, _LEGEND_COLUMNS, _LEGEND_FRAME = 9, 2, 8
_INK = "#010203"  # stands for currentColor, a name that matplotlib does not know
_STYLE: "dict[RcKeyType, str | int | bool]" = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


class Chart(NamedTuple):
    """A title, an SVG element (empty where there is nothing to draw) and what is not in it."""

    title: str
    svg: str
    caption: str


@contextmanager
def inline_axes(title: str) -> Generator[tuple[Any, list[str]]]:
    """Axes to draw on, and a list that holds the finished SVG afterwards."""
    import matplotlib  # slow to import, and only a finished run needs it
    from matplotlib.figure import Figure

    slug = re.sub(r"[^a-z]+", "-", title.lower()).strip("-")
    svg: list[str] = []
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": slug}):
        figure = Figure(figsize=(_WIDE / 72, _HIGH / 72))
        axes = figure.subplots()
        yield axes, svg
        handles, names = axes.get_legend_handles_labels()
        bottom = _TICKS
        if handles:
            rows = ceil(len(handles) / _LEGEND_COLUMNS)
            bottom += _LEGEND_FRAME + 1.5 * _LEGEND_SIZE * rows
            look = {"ncols": _LEGEND_COLUMNS, "frameon": False, "fontsize": _LEGEND_SIZE, "borderaxespad": 0}
            figure.legend(handles, names, loc="lower center", **look)
        sides = {"left": _LEFT / _WIDE, "right": 1 - _RIGHT / _WIDE}
        figure.subplots_adjust(**sides, bottom=bottom / _HIGH, top=1 - _TOP / _HIGH)
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg.append(_inline(text.getvalue(), slug, title))


def _inline(document: str, slug: str, title: str) -> str:
    """The svg element alone, scaling with the page, its ids unique and its rules kept to itself."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r"<style type=\"text/css\">.*?</style>", "", element, flags=re.DOTALL)
    element = re.sub(r' (width|height)="[\d.]+pt"', "", element, count=2)
    for reference in ('id="', "url(#", 'href="#'):
        element = element.replace(reference, f"{reference}{slug}-")
    element = element.replace(_INK, "currentColor")
    named = f'<svg role="img" aria-label="{escape(title)}" style="stroke-linejoin: round"'
    return element.replace("<svg", named, 1).rstrip()
