"""One pass over the base: each tensor is read, fused, quantised at every width and written before the next.

A tensor is handled in blocks of about a million weights. Blocks are computed by several
MLX streams, each with a thread of its own; a few are under way at a time, and finished ones
are written to their places by the calling thread. What is in memory is the codes of the
tensors under way and those few blocks.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from harness.engine.kernels import quantise_all
from harness.engine.recipe import Plan, Way, Write
from harness.engine.shards import Shards
from harness.engine.weights import Source
from harness.machine import has_fast_quantised_kernels, this_machine
from harness.progress import Amount

BLOCK = 1 << 20  # weights: a block in float32 and its codes stay in a core's cache and below the allocator's mmap

MOST_STREAMS = 8  # blocks under way are what peak memory consists of; more cores wait for the disk


@dataclass(frozen=True, eq=False)
class _Job:
    """One source and everything that is made of it: (folder's number, write) pairs."""

    source: Source
    writes: list[tuple[int, Write]]


@dataclass(frozen=True, eq=False)
class _Piece:
    """Bytes under way to one tensor of one folder."""

    folder: int
    name: str
    offset: int
    data: mx.array


def write_folders(plans: Sequence[Plan], folders: Sequence[Path], block: int = BLOCK) -> None:
    """Compute the weights of all plans in one pass and write each plan's into its folder, with an index.

    The plans' sources are used up: nothing in ``plans`` refers to a weight afterwards.
    """
    jobs = _jobs(plans)
    total = sum(math.prod(job.source.shape) for job in jobs)
    with ExitStack() as open_files, Amount("fusing", total) as amount:
        shards = [
            open_files.enter_context(Shards(folder, plan.shapes, plan.parameters))
            for plan, folder in zip(plans, folders, strict=True)
        ]
        for pieces, weights in _pipelined(jobs, block):
            for piece in pieces:
                shards[piece.folder].put(piece.name, piece.offset, piece.data)
            amount.add(weights)


def _jobs(plans: Sequence[Plan]) -> deque[_Job]:
    """The work in the order of the model, one job a source; takes the writes out of the plans."""
    jobs: dict[int, _Job] = {}
    for number, plan in enumerate(plans):
        for write in plan.writes:
            jobs.setdefault(id(write.source), _Job(write.source, [])).writes.append((number, write))
        plan.writes.clear()
    return deque(jobs.values())


def _pipelined(jobs: deque[_Job], block: int) -> Iterator[tuple[list[_Piece], int]]:
    """The finished pieces of block after block, and how many weights the block had."""
    device = mx.default_device()
    count = 1 if has_fast_quantised_kernels() else min(MOST_STREAMS, max(2, this_machine().cores))
    streams = [mx.new_stream(device) for _ in range(count)]
    under_way: deque[tuple[list[_Piece], int]] = deque()
    number = 0
    while jobs:
        job = jobs.popleft()
        for start, stop in _spans(job.source.shape, block):
            with mx.stream(streams[number % count]):
                pieces = _block(job, start, stop)
            mx.async_eval(*(piece.data for piece in pieces))
            under_way.append((pieces, math.prod(job.source.shape[1:]) * (stop - start)))
            number += 1
            if len(under_way) > 2 * count:
                yield _finished(under_way)
    while under_way:
        yield _finished(under_way)


def _finished(under_way: deque[tuple[list[_Piece], int]]) -> tuple[list[_Piece], int]:
    """The oldest block, computed."""
    pieces, weights = under_way.popleft()
    mx.eval(*(piece.data for piece in pieces))
    return pieces, weights


def _spans(shape: tuple[int, ...], block: int) -> Iterator[tuple[int, int]]:
    """Ranges of the first axis that hold about ``block`` weights each."""
    if 0 in shape:
        return
    if len(shape) < 2:
        yield 0, shape[0] if shape else 1
        return
    step = max(1, block // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def _block(job: _Job, start: int, stop: int) -> list[_Piece]:
    """What all folders take of one block, not yet computed."""
    weights = job.source.block(start, stop)
    pieces: list[_Piece] = []
    for dtype in dict.fromkeys(write.dtype for _, write in job.writes):
        cast = weights.astype(dtype)
        mine = [(number, write) for number, write in job.writes if write.dtype == dtype]
        ways = list(dict.fromkeys(write.way for _, write in mine if write.way))
        quantised = dict(zip(ways, quantise_all(cast, ways), strict=True))
        for number, write in mine:
            for name, array in _tensors(write, cast, quantised):
                data = mx.contiguous(array).reshape(-1).view(mx.uint8)
                pieces.append(_Piece(number, name, start * (array.nbytes // (stop - start)), data))
    return pieces


def _tensors(
    write: Write, cast: mx.array, quantised: dict[Way, tuple[mx.array, ...]]
) -> Iterator[tuple[str, mx.array]]:
    """The arrays of one write under their names."""
    if write.way is None:
        yield write.name, cast
        return
    path = write.name.removesuffix(".weight")
    for leaf, array in zip(("weight", "scales", "biases"), quantised[write.way], strict=False):
        yield f"{path}.{leaf}", array
