"""Every timing as a dot."""

import re
from xml.etree import ElementTree

from phase8.record.view import DECODE
from phase8.report.plots.latency import latency_plots
from suites.unit.records import samples, variant


def plots(*variants):
    """The plots of these variants."""
    return latency_plots(variants, [one.name for one in variants])


def dots(svg: str) -> list[tuple[float, float]]:
    """The places of all dots, in the order of drawing."""
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", svg)]


def test_each_quantity_has_a_plot_with_every_variant_and_every_sample() -> None:
    """On one scale, so that variants can be compared."""
    found = plots(variant("a", latency={DECODE: samples(10, 12, 11)}), variant("b", latency={DECODE: samples(20)}))
    (plot,) = found
    ElementTree.fromstring(plot.svg)
    places = [x for x, _ in dots(plot.svg)]
    assert len(places) == 4
    assert places[0] < places[2] < places[1] < places[3]
    assert "median 11, n=3" in plot.svg
    assert "20, n=1" in plot.svg
    assert (plot.title, plot.caption[:16]) == ("Decode, tokens/s", "More is better. ")


def test_dots_go_down_in_the_order_of_measuring() -> None:
    """A slow first round and a drift are to be seen."""
    (plot,) = plots(variant(latency={DECODE: samples(5, 4, 3, 2)}))
    heights = [y for _, y in dots(plot.svg)]
    assert heights == sorted(heights)
    assert len(set(heights)) == 4


def test_a_variant_without_samples_is_named() -> None:
    """It must not disappear without a word; nor one whose samples are in another unit."""
    others = variant("b", latency={}), variant("c", latency={DECODE: samples(1, unit="s")})
    (plot,) = plots(variant("a", latency={DECODE: samples(1, 2)}), *others)
    assert "Not measured, or in another unit: b, c." in plot.caption
    assert plots(variant(latency={})) == []


def test_the_middle_half_is_shaded_where_there_are_enough_samples() -> None:
    """Quartiles of three values would say nothing."""
    assert "<rect" not in plots(variant(latency={DECODE: samples(1, 2, 3)}))[0].svg
    assert "<rect" in plots(variant(latency={DECODE: samples(1, 2, 3, 4)}))[0].svg


def test_a_hundred_thousand_samples_are_few_dots_and_that_is_said() -> None:
    """A page has an end."""
    (plot,) = plots(variant(latency={DECODE: samples(*range(1, 100_001))}))
    assert len(dots(plot.svg)) == 400
    assert "n=100,000" in plot.svg
    assert "At most 400 dots" in plot.caption
    assert len(plot.svg) < 20_000


def test_equal_and_zero_and_negative_samples_are_drawn_within_the_plot() -> None:
    """A range without a width is one all the same."""
    for values in ((3.0, 3.0, 3.0, 3.0), (0.0,), (-2.0, 5.0), (1e-9, 2e-9)):
        (plot,) = plots(variant(latency={DECODE: samples(*values)}))
        assert all(0 <= x <= 360 for x, _ in dots(plot.svg))
        assert plot.svg.count('text-anchor="middle"') + plot.svg.count('text-anchor="start"') >= 1


def test_hostile_names_are_text() -> None:
    """Of a variant, of a quantity and of a unit."""
    evil = "<script>alert(1)</script>\u202e"
    (plot,) = plots(variant(evil, latency={evil: samples(1, 2, unit=evil, what=evil)}))
    ElementTree.fromstring(plot.svg)
    assert "<script" not in plot.svg
    assert "\u202e" not in plot.svg
