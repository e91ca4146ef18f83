"""The rungs that the probe descends when training does not fit in memory."""

from phase8.core.values import Frozen
from phase8.profile.sections import Training


class Rung(Frozen):
    """One way to take the profile's optimiser steps; every rung but the last trains the same layers."""

    batch_size: int
    layers: int
    grad_checkpoint: bool
    accumulation: int

    @property
    def name(self) -> str:
        """How reports call this rung."""
        parts = [f"batch {self.batch_size} x {self.layers} layers"]
        parts += ["gradient checkpointing"] if self.grad_checkpoint else []
        parts += [f"{self.accumulation} accumulation steps"] if self.accumulation > 1 else []
        return ", ".join(parts)


def ladder(training: Training) -> list[Rung]:
    """The profile's own batch and layers first, then what takes less memory."""
    batch, layers = training.batch_size, training.layers

    def rung(size: int, depth: int, *, checkpoint: bool = False, steps: int = 1) -> Rung:
        return Rung(batch_size=size, layers=depth, grad_checkpoint=checkpoint, accumulation=steps)

    rungs = [rung(batch, layers), rung(batch, layers, checkpoint=True)]
    if batch > 1:
        rungs.append(rung(1, layers, steps=batch))
    if layers > 1:
        rungs.append(rung(1, layers // 2))
    return rungs
