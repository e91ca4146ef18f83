"""How many threads BLAS may use: on matrices as small as a tiny model's, a second one costs more than it saves."""

from contextlib import AbstractContextManager

import mlx.nn as nn
from threadpoolctl import threadpool_limits

from harness.engine.arrays import named_arrays

SMALL = 20_000_000  # parameters; 1.2 M took 0.11 s a training step on one thread and 0.14 s on two


def threads_for(model: nn.Module) -> AbstractContextManager:
    """A context in which BLAS keeps to one thread if the model is small."""
    parameters = sum(value.size for value in named_arrays(model.parameters()).values())
    return threadpool_limits(limits=1 if parameters < SMALL else None, user_api="blas")
