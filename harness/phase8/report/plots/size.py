"""What each bit saved costs: the size of every fused model of the ladder against its KL from the reference."""

import re
from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

from phase8.core.safe_text import one_line
from phase8.drawing.svg import Chart, inline_axes
from phase8.record.ladder import LadderRecord, RungRecord
from phase8.report.charts import COLOURS
from phase8.report.columns import size

TITLE = "Size against mean KL, nats a token"
_NAMED = re.compile(r"fused-\d+bit\.?")


class Look(NamedTuple):
    """A marker, and where its number stands, in points."""

    marker: str
    beside: tuple[int, int]


_LOOKS = (Look("o", (6, 5)), Look("s", (-13, -13)), Look("D", (6, -13)), Look("^", (-13, 5)))


class Series(NamedTuple):
    """The widths of one recipe, largest model first."""

    recipe: str
    rungs: list[RungRecord]


def size_chart(ladder: LadderRecord) -> Chart:
    """Every fused width with a KL above 0, a line a recipe, on a logarithmic scale, and the base's own KL."""
    fused = [rung for rung in ladder.rungs if rung.kind == "fused" and rung.bits]
    drawn = [rung for rung in fused if rung.tokens.kl.value > 0]
    caption = _caption(ladder, [rung.variant for rung in fused if rung not in drawn])
    if not drawn:
        return Chart(TITLE, "", f"No fused width was scored. {caption}".strip())
    base = next((rung for rung in ladder.rungs if rung.kind == "base" and rung.tokens.kl.value > 0), None)
    with inline_axes(TITLE) as (axes, svg):
        for one, colour, look in zip(_series(drawn), cycle(COLOURS), cycle(_LOOKS), strict=False):
            _draw(axes, one, colour, look)
        if base:
            axes.axhline(base.tokens.kl.value, color=COLOURS[-1], linestyle=":", label="the untuned base")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("size on disk, MB")
        axes.margins(x=0.12)
    return Chart(TITLE, svg[0], caption)


def _caption(ladder: LadderRecord, left_out: Sequence[str]) -> str:
    reference = next((rung for rung in ladder.rungs if rung.variant == ladder.reference), None)
    parts = ["Down and to the left is better. Numbers are bits; bars are 95 % intervals by topic."]
    if reference:
        parts.append(f"The reference, {reference.variant}, has KL 0 at {size(reference.size_bytes)}.")
    if left_out:
        parts.append(f"Not drawn, their KL is 0: {', '.join(left_out)}.")
    return " ".join(parts)


def _series(rungs: Sequence[RungRecord]) -> list[Series]:
    """Rungs by what their name says of the recipe; nothing is the profile's own."""
    by_recipe: dict[str, list[RungRecord]] = {}
    for rung in rungs:
        by_recipe.setdefault(_NAMED.sub("", rung.variant, count=1) or "the profile's recipe", []).append(rung)
    return [Series(recipe, sorted(found, key=lambda rung: -rung.size_bytes)) for recipe, found in by_recipe.items()]


def _draw(axes: Any, one: Series, colour: str, look: Look) -> None:
    places = [rung.size_bytes / 1e6 for rung in one.rungs]
    estimates = [rung.tokens.kl for rung in one.rungs]
    values = [found.value for found in estimates]
    ends = [(found.interval.low, found.interval.high) if found.interval else (found.value,) * 2 for found in estimates]
    below = [max(value - low, 0) for value, (low, _) in zip(values, ends, strict=True)]
    above = [max(high - value, 0) for value, (_, high) in zip(values, ends, strict=True)]
    label = one_line(one.recipe, 40)
    axes.errorbar(
        places, values, yerr=(below, above), fmt=f"{look.marker}-", color=colour, capsize=3, linewidth=1, label=label
    )
    for rung, x, y in zip(one.rungs, places, values, strict=True):
        axes.annotate(str(rung.bits), (x, y), xytext=look.beside, textcoords="offset points", fontsize=10)
