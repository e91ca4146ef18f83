"""Heatmaps of what is left of the delta."""

from xml.etree import ElementTree

from phase8.record.ladder import FolderDiagnosis
from phase8.report.plots.heatmap import QUANTITIES, heatmaps
from suites.unit.ladders import delta

WIDTHS = [
    FolderDiagnosis(
        variant=f"fused-{bits}bit",
        bits=bits,
        modules=(delta(14, "mlp.up_proj", codes_changed=0.1 * bits), delta(15, "self_attn.q_proj", correlation=None)),
    )
    for bits in (8, 4)
]


def test_every_quantity_has_a_panel_a_width_and_a_cell_a_delta() -> None:
    """With the value in a tooltip."""
    found = heatmaps(WIDTHS)
    assert [one.title for one in found] == [quantity.title for quantity in QUANTITIES]
    for one in found:
        assert len(one.panels) == 2
        for panel in one.panels:
            assert len(ElementTree.fromstring(panel).findall("rect")) == 2
    assert "model.layers.14.mlp.up_proj: 0.8" in found[0].panels[0]


def test_all_widths_share_one_scale() -> None:
    """So that panels can be compared: the most changed codes are full, the least pale."""
    eight, four = (ElementTree.fromstring(panel).findall("rect") for panel in heatmaps(WIDTHS)[0].panels)
    shades = [float(cell.get("fill-opacity", "nan")) for cell in (eight[0], four[0], four[1])]
    assert shades[0] == 1.0 > shades[1] > shades[2]


def test_what_was_not_measured_is_an_empty_cell() -> None:
    """It is not the lowest value."""
    cell = ElementTree.fromstring(heatmaps(WIDTHS)[1].panels[0]).findall("rect")[1]
    assert cell.get("fill") == "none"
    assert "not measured" in (cell.findtext("title") or "")


def test_hostile_names_are_text() -> None:
    """A model folder's module names are not ours."""
    hostile = FolderDiagnosis(variant="<script>", bits=4, modules=(delta(0, "<img onerror=x>"),))
    found = heatmaps([hostile])
    assert found
    for one in found:
        assert "<script>" not in one.panels[0]
        assert "<img" not in one.panels[0]


def test_nothing_measured_draws_nothing() -> None:
    """A run without quantised rungs."""
    assert heatmaps([]) == []
