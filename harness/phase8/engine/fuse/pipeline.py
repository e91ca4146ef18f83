"""Long work in blocks: computed by several MLX streams, a few blocks under way, taken in order as they finish."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import mlx.core as mx

from phase8.core.machine import has_fast_quantised_kernels, this_machine

BLOCK = 1 << 20  # weights: a block in float32 and its codes stay in a core's cache and below the allocator's mmap

MOST_STREAMS = 8  # blocks under way are what peak memory consists of; more cores wait for the disk

Part = TypeVar("Part")


def spans(shape: tuple[int, ...], block: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Ranges of the first axis that hold about ``block`` weights each."""
    if 0 in shape:
        return
    if len(shape) < 2:
        yield 0, shape[0] if shape else 1
        return
    step = max(1, block // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def pipelined(parts: Iterable[Callable[[], Part]], arrays: Callable[[Part], Iterable[mx.array]]) -> Iterator[Part]:
    """Build each part on the next stream, and yield it when its ``arrays`` are computed."""
    device = mx.default_device()
    count = 1 if has_fast_quantised_kernels() else min(MOST_STREAMS, max(2, this_machine().cores))
    streams = [mx.new_stream(device) for _ in range(count)]
    under_way: deque[Part] = deque()
    for number, build in enumerate(parts):
        with mx.stream(streams[number % count]):
            part = build()
        mx.async_eval(*arrays(part))
        under_way.append(part)
        if len(under_way) > 2 * count:
            yield _finished(under_way, arrays)
    while under_way:
        yield _finished(under_way, arrays)


def _finished(under_way: deque[Part], arrays: Callable[[Part], Iterable[mx.array]]) -> Part:
    """The oldest part, computed."""
    part = under_way.popleft()
    mx.eval(*arrays(part))
    return part
