"""Learning rates over the iterations of a training run."""

from collections.abc import Callable

import mlx.core as mx
import mlx.optimizers as optim

Schedule = Callable[[mx.array], mx.array]


def cosine(peak: float, iterations: int) -> Schedule:
    """A twelfth of the iterations of linear warm-up, then cosine decay to a twentieth of the peak rate."""
    warmup = max(1, iterations // 12)
    rise = optim.linear_schedule(peak / 100, peak, warmup)
    fall = optim.cosine_decay(peak, max(1, iterations - warmup), peak / 20)
    return optim.join_schedules([rise, fall], [warmup])
