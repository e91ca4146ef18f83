"""One pass over the base: each tensor is read, fused, quantised at every width and written before the next.

A tensor is handled in blocks of about a million weights. Blocks are computed by several
MLX streams, each with a thread of its own; a few are under way at a time, and finished ones
are written to their places by the calling thread. What is in memory is the codes of the
tensors under way and those few blocks.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlx.core as mx

from phase8.core.progress import Amount
from phase8.engine.fuse.kernels import quantise_all
from phase8.engine.fuse.pipeline import BLOCK, pipelined, spans
from phase8.engine.fuse.recipe import Plan, Way, Write
from phase8.engine.fuse.safetensors_writer import Shards
from phase8.engine.fuse.tensor_sources import Source


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


@dataclass(frozen=True, eq=False)
class _Part:
    """What all folders take of one block of so many weights."""

    pieces: list[_Piece]
    weights: int


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
        for part in pipelined(_parts(jobs, block), lambda part: [piece.data for piece in part.pieces]):
            for piece in part.pieces:
                shards[piece.folder].put(piece.name, piece.offset, piece.data)
            amount.add(part.weights)


def _jobs(plans: Sequence[Plan]) -> deque[_Job]:
    """The work in the order of the model, one job a source; takes the writes out of the plans."""
    jobs: dict[int, _Job] = {}
    for number, plan in enumerate(plans):
        for write in plan.writes:
            jobs.setdefault(id(write.source), _Job(write.source, [])).writes.append((number, write))
        plan.writes.clear()
    return deque(jobs.values())


def _parts(jobs: deque[_Job], block: int) -> Iterator[Callable[[], _Part]]:
    """The work in blocks; a job is forgotten when its last block has begun."""
    while jobs:
        job = jobs.popleft()
        for start, stop in spans(job.source.shape, block):
            yield partial(_block, job, start, stop)


def _block(job: _Job, start: int, stop: int) -> _Part:
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
    return _Part(pieces, math.prod(job.source.shape[1:]) * (stop - start))


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
