"""Size against KL."""

from xml.etree import ElementTree

from phase8.report.plots.size import size_chart
from suites.unit.ladders import estimate, ladder, rung


def with_kl(value: float, low: float | None = None, high: float | None = None):
    """Token figures of this mean KL."""
    return rung().tokens.model_copy(update={"kl": estimate(value, low, high)})


def test_every_width_of_every_recipe_is_drawn_with_its_bits() -> None:
    """Recipes are told apart by the names of their rungs."""
    found = size_chart(
        ladder(
            rung(8, tokens=with_kl(0.0002, 0.0001, 0.0003), size_bytes=120_000_000),
            rung(5, size_bytes=100_000_000),
            rung(5, variant="fused-5bit.mlx-lm", size_bytes=90_000_000),
            rung(None, variant="base", kind="base", tokens=with_kl(2.5)),
            rung(5, variant="zero-5bit", kind="zero", tokens=with_kl(2.5)),
        )
    )
    texts = [element.text for element in ElementTree.fromstring(found.svg).iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(text for text in texts if text in ("8", "5")) == ["5", "5", "8"]
    assert {"the profile's recipe", "mlx-lm", "the untuned base"} <= set(texts)
    assert "0.001" in texts


def test_the_reference_is_named_since_it_cannot_be_drawn() -> None:
    """A logarithm of 0 is no place."""
    found = size_chart(ladder(rung(5), rung(None, variant="fused-float", size_bytes=269_000_000, tokens=with_kl(0.0))))
    assert "The reference, fused-float, has KL 0 at 269.0 MB." in found.caption


def test_a_width_without_divergence_is_named() -> None:
    """It must not disappear without a word; alone it leaves no chart."""
    same = rung(8, tokens=with_kl(0.0))
    assert "Not drawn, their KL is 0: fused-8bit." in size_chart(ladder(rung(5), same)).caption
    assert size_chart(ladder(same)).svg == ""


def test_hostile_names_are_text() -> None:
    """A rung is named by whoever wrote the record."""
    found = size_chart(ladder(rung(5, variant="fused-5bit.<script>$x^2$\u202e")))
    ElementTree.fromstring(found.svg)
    assert "<script" not in found.svg
    assert "\u202e" not in found.svg
