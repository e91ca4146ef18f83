"""What quantising left of the delta, module by module: diagnostics for a heatmap, and no verdict.

For each module that the adapter touches, W and the delta are read once and compared with the codes of several
folders: the quantisation step over the delta's root mean square, the share of codes that are not the zero-delta
control's Q(W), and how deq Q(W + delta) - deq Q(W) goes along with the delta. Sources: in
mflux-community/mflux#665 a step of 12 times the delta's RMS left 80 % of the codes as they were, and what changed
correlated with the delta at 0.22; unslothai/unsloth-zoo PR 970 found that quantising again changes weights
without any delta (by up to 0.0037 at 4 bits), which is why the control is Q(W) and not W. A small step ratio or a
large share of changed codes proves nothing by itself: rounding is unbiased where W does not lie on the new codes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from phase8.engine.fuse.kernels import quantise_all
from phase8.engine.fuse.pipeline import BLOCK, pipelined, spans
from phase8.engine.fuse.recipe import Way
from phase8.engine.fuse.tensor_sources import Whole
from phase8.engine.integrity.deltas import Touched, read_deltas
from phase8.engine.integrity.folder import FaultError, FusedFolder, read_fused
from phase8.engine.integrity.quantised import effect, entry_sums, read, rows
from phase8.engine.integrity.survey import place
from phase8.engine.load.models import read_model
from phase8.quant.classify import Effect
from phase8.record.integrity import FolderDelta, Module, ModuleDelta


@dataclass(frozen=True, eq=False)
class _Held:
    """A weight as one folder holds it."""

    folder: int
    tensors: tuple[Whole, ...]
    way: Way | None


@dataclass(frozen=True, eq=False)
class _Job:
    """A touched weight, and the folders that are compared with it."""

    where: Module
    touched: Touched
    held: list[_Held]


@dataclass(frozen=True, eq=False)
class _Part:
    """The sums over one block: (folders, kinds of sums, rows)."""

    where: Module
    held: list[tuple[int, Way | None]]
    sums: mx.array


def delta_stats(base: Path, adapter: Path, folders: Sequence[Path]) -> list[FolderDelta]:
    """Compare the codes of fused folders with those of the zero-delta control.

    A module whose tensors are missing or of a wrong shape is left out; integrity names it.

    Args:
        base: an mlx-lm model folder.
        adapter: an adapter folder in mlx-lm's format that fits it.
        folders: model folders fused from both, at one width each.

    Raises:
        InvalidInput: base, adapter or a folder cannot be used.
    """
    sums: list[dict[str, np.ndarray]] = [{} for _ in folders]
    known: list[dict[str, tuple[Module, Way | None]]] = [{} for _ in folders]
    jobs = _jobs(base, adapter, folders)
    for part in pipelined(_parts(jobs), lambda part: [part.sums]):
        path = part.where.path
        for (folder, way), rowed in zip(part.held, part.sums, strict=True):
            total = entry_sums(rowed, 1)[:, 0]
            sums[folder][path] = sums[folder].get(path, 0) + total
            known[folder][path] = part.where, way
    return [
        FolderDelta(modules=tuple(_module(*known[n][path], Effect(*total.tolist())) for path, total in found.items()))
        for n, found in enumerate(sums)
    ]


def _jobs(base: Path, adapter: Path, folders: Sequence[Path]) -> deque[_Job]:
    """The touched weights, those of layers first to last; nothing is computed."""
    model = read_model(base)
    modules = dict(model.named_modules())
    fused = [read_fused(folder, model) for folder in folders]
    jobs = deque()
    for name, touched in read_deltas(base, adapter).items():
        path, _, leaf = name.rpartition(".")
        if leaf != "weight" or len(touched.own.shape) < 2:
            continue
        float_module = nn.Module()
        float_module.weight = mx.zeros(touched.own.shape)  # lazy: only its shape is looked at
        held = [one for number, folder in enumerate(fused) if (one := _held(number, folder, path, float_module))]
        jobs.append(_Job(place(path, modules[path]), touched, held))
    return jobs


def _held(number: int, folder: FusedFolder, path: str, module: nn.Module) -> _Held | None:
    """The tensors of a module in one folder; None where they cannot be read as its weight."""
    try:
        way = folder.way(path, module)
    except FaultError:
        return None
    leaves = ("weight", "scales", "biases")[: 3 if way and way.mode == "affine" else 2 if way else 1]
    names = [f"{path}.{leaf}" for leaf in leaves]
    if any(name not in folder.arrays for name in names):
        return None
    tensors = tuple(Whole(folder.arrays[name]) for name in names)
    if way is None and tensors[0].shape != module["weight"].shape:
        return None
    return _Held(number, tensors, way)


def _parts(jobs: deque[_Job]) -> Iterator[Callable[[], _Part]]:
    """The work in blocks; a job is forgotten when its last block has begun."""
    while jobs:
        job = jobs.popleft()
        for start, stop in spans(job.touched.own.shape, BLOCK) if job.held else ():
            yield partial(_block, job, start, stop)


def _block(job: _Job, start: int, stop: int) -> _Part:
    """The row sums of one block for each folder, not computed. W is quantised once for each dtype."""
    own, delta = job.touched.own.block(start, stop), rows(job.touched.delta.block(start, stop))
    dtypes = [_dtype(held, own) for held in job.held]
    control: dict[tuple[mx.Dtype, Way], tuple[mx.array, ...]] = {}
    for dtype in dict.fromkeys(dtypes):
        ways = list(dict.fromkeys(h.way for h, d in zip(job.held, dtypes, strict=True) if h.way and d == dtype))
        for way, tensors in zip(ways, quantise_all(own.astype(dtype), ways), strict=True):
            control[dtype, way] = tensors
    sums = []
    for held, dtype in zip(job.held, dtypes, strict=True):
        found = read(tuple(tensor.block(start, stop) for tensor in held.tensors), held.way)
        zero = read(control[dtype, held.way] if held.way else (own.astype(dtype),), held.way)
        sums.append(mx.stack(effect(found, zero, delta)))
    return _Part(job.where, [(held.folder, held.way) for held in job.held], mx.stack(sums))


def _dtype(held: _Held, own: mx.array) -> mx.Dtype:
    """The dtype that the folder's weights had before quantising."""
    if held.way is None:
        return held.tensors[0].array.dtype
    return held.tensors[1].array.dtype if held.way.mode == "affine" else own.dtype


def _module(where: Module, way: Way | None, found: Effect) -> ModuleDelta:
    """The record of one module."""
    rms = (found.delta / found.weights) ** 0.5
    return ModuleDelta(
        **where.model_dump(),
        bits=way.bits if way else None,
        group_size=way.group_size if way else None,
        weights=int(found.weights),
        delta_rms=rms,
        step_over_delta=found.step / rms if found.step and rms else None,
        codes_changed=found.changed / found.weights,
        correlation=found.correlation,
        energy=found.energy / found.delta if found.delta else None,
        delta_share=found.share,
    )
