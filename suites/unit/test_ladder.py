"""The rungs that training descends."""

import pytest

from phase8.profile.loading import load
from phase8.profile.sections import Training
from phase8.quant.memory_fallbacks import ladder


def training(batch_size: int = 2, layers: int = 16) -> Training:
    """The production settings with other sizes."""
    shipped = load("qwen3-coder-30b").profile.training
    assert shipped is not None
    return shipped.model_copy(update={"batch_size": batch_size, "layers": layers})


def test_the_production_ladder_has_the_documented_rungs() -> None:
    """The profile's own settings first, batch 1 and half the layers last."""
    assert [rung.name for rung in ladder(training())] == [
        "batch 2 x 16 layers",
        "batch 2 x 16 layers, gradient checkpointing",
        "batch 1 x 16 layers, 2 accumulation steps",
        "batch 1 x 8 layers",
    ]


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_every_rung_but_the_last_takes_the_same_optimiser_step(batch: int) -> None:
    """The same rows and layers, only in less memory."""
    *same, last = ladder(training(batch))
    assert {(rung.batch_size * rung.accumulation, rung.layers) for rung in same} == {(batch, 16)}
    assert last.layers == 8


def test_no_rung_is_tried_twice(subtests: pytest.Subtests) -> None:
    """However little there is to give up."""
    for batch, layers in [(1, 1), (1, 2), (2, 1), (2, 3)]:
        with subtests.test(batch=batch, layers=layers):
            rungs = ladder(training(batch, layers))
            assert len(set(rungs)) == len(rungs)
            assert all(rung.layers >= 1 for rung in rungs)
