"""How a tensor of a fused folder differs from Q(W + delta): how far, in which experts, and at whose expense."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from phase8.engine.fuse.float_model import Merged, merge
from phase8.engine.fuse.kernels import Quantised
from phase8.engine.fuse.pipeline import BLOCK, pipelined, spans
from phase8.engine.fuse.quantisers import outside, quantised
from phase8.engine.fuse.recipe import Way
from phase8.engine.fuse.tensor_sources import Codes, Source, Whole
from phase8.engine.integrity.arithmetic import Arithmetic, arithmetics, floats
from phase8.engine.integrity.deltas import Touched, is_experts, read_deltas
from phase8.engine.integrity.folder import FusedFolder, read_fused
from phase8.engine.integrity.quantised import (
    EPSILON,
    Encoded,
    effect,
    entry_sums,
    furthest,
    read,
    row_sum,
    rows,
    scales_differ,
)
from phase8.quant.classify import By, Effect, Fields, Unlike, Worst, describe

_LEAVES = ("weight", "scales", "biases")
_GLANCE = 1 << 14  # weights that tell most arithmetics apart
_AT_ONCE = 1 << 26  # weights of the modules that are open at the same time


class Suspect(NamedTuple):
    """A tensor of a folder that is not what it should be."""

    folder: int
    path: str
    name: str


class _Case(NamedTuple):
    """Everything that one tensor is judged by; ``kept`` judges by the base's own codes instead of Q(W)."""

    expected: Source
    found: tuple[Whole, ...]
    way: Way | None
    touched: Touched | None
    own: tuple[Whole, ...] | None
    stack: bool
    kept: bool = False


def explain(
    base: Path, adapter: Path, folders: Sequence[Path], suspects: Sequence[Suspect]
) -> Iterator[tuple[Suspect, Fields]]:
    """For each suspect the fields of ``ModuleIntegrity`` that say how it differs.

    Files are opened anew after every few modules, so that memory does not hold them all.
    """
    left, opened = deque(suspects), _AT_ONCE
    while left:
        if opened >= _AT_ONCE:
            merged, deltas, opened = merge(base, adapter), read_deltas(base, adapter), 0
            fused = {number: read_fused(folders[number], merged.model) for number in {s.folder for s in left}}
        suspect = left.popleft()
        name = _weight_of(suspect)
        if name not in merged.sources:
            reason = f"{suspect.name} is not the base's own, and codes with a scale for the whole tensor have to be"
            yield suspect, {"outcome": "differs", "reason": reason}
            continue
        case = _case(merged, deltas, fused[suspect.folder], suspect.path, name)
        opened += math.prod(case.expected.shape)
        found = _judge(case, name)
        if case.own and not case.touched and found["outcome"] != "rounding":
            found = min(found, _judge(case._replace(kept=True), name), key=lambda fields: fields["differing"])
        yield suspect, found


def _weight_of(suspect: Suspect) -> str:
    """The float tensor that codes, scales and biases are made from; another tensor's own name."""
    leaf = suspect.name.removeprefix(f"{suspect.path}.")
    return f"{suspect.path}.weight" if leaf in _LEAVES else suspect.name


def _case(merged: Merged, deltas: dict[str, Touched], fused: FusedFolder, path: str, name: str) -> _Case:
    module, weight = dict(merged.model.named_modules())[path], name == f"{path}.weight"
    way = fused.way(path, module) if weight else None
    wanted = [f"{path}.{leaf}" for leaf in _LEAVES] if way else [name]
    found = tuple(Whole(fused.arrays[n]) for n in wanted if n in fused.arrays)
    touched = deltas.get(name)
    return _Case(
        merged.sources[name], found, way, touched, _own(merged, path, way, touched), weight and is_experts(module)
    )


def _own(merged: Merged, path: str, way: Way | None, touched: Touched | None) -> tuple[Whole, ...] | None:
    """The base's own codes, where they are of the same way."""
    codes = touched.own if touched else None
    if way and isinstance(codes, Codes) and (codes.group_size, codes.bits, codes.mode) == way:
        return tuple(Whole(array) for array in (codes.codes, codes.scales, codes.biases) if array is not None)
    if way and path in merged.kept and Way(*(getattr(merged.kept[path], n) for n in Way._fields)) == way:
        sources = [merged.kept_sources.get(f"{path}.{leaf}") for leaf in _LEAVES]
        return tuple(source for source in sources if isinstance(source, Whole))
    return None


def _judge(case: _Case, name: str) -> Fields:
    """The outcome by the arithmetic here, or by the first other one that tells of a missing adapter or explains all.

    How much differs is always counted from what is recomputed here.
    """
    here, *others = arithmetics(case.touched.own if case.touched else case.expected, case.touched, _stored(case))
    first = _judge_by(here, case, name)
    assert first is not None
    if case.kept or first["outcome"] != "differs":
        return first
    for arithmetic in others:
        if _is_another_at_a_glance(arithmetic, case):
            continue
        found = _judge_by(arithmetic, case, name)
        if found and found["outcome"] in ("adapter missing", "rounding"):
            told = ("outcome", "experts_missing", "delta_share", "arithmetic", "reason")
            return first | {key: found[key] for key in told}
    return first


def _is_another_at_a_glance(arithmetic: Arithmetic, case: _Case) -> bool:
    """Whether the first few rows already are of another arithmetic, which spares computing them all."""
    start, stop = next(spans(case.expected.shape, _GLANCE))
    sums, effects, _ = _block(case, arithmetic, start, stop)
    entries = stop - start if case.stack else 1
    return _is_another(entry_sums(sums, entries), entry_sums(effects, entries))


def _stored(case: _Case) -> mx.Dtype:
    """The dtype that the folder's weights had before quantising; scales of other modes than affine do not tell."""
    if case.way is None:
        return case.found[0].array.dtype
    return case.found[1].array.dtype if case.way.mode == "affine" else case.expected.block(0, 1).dtype


def _judge_by(arithmetic: Arithmetic, case: _Case, name: str) -> Fields | None:
    """The outcome for each entry of the first axis of an expert stack, or for the whole; the worst counts.

    None for another arithmetic than the one here as soon as it cannot be the folder's.
    """
    shape, stack = case.expected.shape, case.stack
    sums: list[np.ndarray] = []
    effects: list[np.ndarray] = []
    worst = np.zeros(2)
    for part in pipelined(_parts(case, arithmetic), lambda part: part):
        entries = part[0].shape[1] // shape[1] if stack else 1
        sums.append(entry_sums(part[0], entries))
        effects.append(entry_sums(part[1], entries))
        largest = np.array(part[2], dtype=np.float64)
        worst = np.maximum(worst, np.where(np.isfinite(largest), largest, np.inf))
        if not arithmetic.here and _is_another(sums[-1], effects[-1]):
            return None
    table, effect_table = np.concatenate(sums, 1), np.concatenate(effects, 1)
    if not stack:
        table, effect_table = table.sum(1, keepdims=True), effect_table.sum(1, keepdims=True)
    columns = zip(table.T.tolist(), effect_table.T.tolist(), strict=True)
    found = [(Unlike(*unlike), Effect(*changed)) for unlike, changed in columns]
    by = By(arithmetic.name, arithmetic.here)
    return describe(name, found, Worst(*worst.tolist()), by, stack=stack, kept=case.kept)


def _is_another(sums: np.ndarray, effects: np.ndarray) -> bool:
    """Whether a part of the folder is outside an arithmetic's bounds and not its zero-delta control either."""
    table, changed = Unlike(*sums), Effect(*effects)
    outside = np.asarray(table.far) + np.asarray(table.far_scales) > 0
    return bool(np.any(outside & (np.asarray(changed.changed) + np.asarray(table.lost_scales) > 0)))


def _parts(case: _Case, arithmetic: Arithmetic) -> Iterator[Callable[[], list[mx.array]]]:
    for start, stop in spans(case.expected.shape, BLOCK):
        yield partial(_block, case, arithmetic, start, stop)


def _block(case: _Case, arithmetic: Arithmetic, start: int, stop: int) -> list[mx.array]:
    """Row sums named in ``Unlike`` and in ``Effect``, and the largest differences; not computed."""
    way, made = case.way, floats(arithmetic, case.expected, case.touched, start, stop)
    tensors = tuple(whole.block(start, stop) for whole in case.found)
    own = tuple(whole.block(start, stop) for whole in case.own or ())
    told = way is None or way.mode == "affine"
    low, middle, high, without = (one.astype(_stored(case)) if told else one for one in made)
    right, found = quantised(middle, way, gpu=arithmetic.gpu), read(tensors, way)
    off = outside(low, high, found, way)
    delta, control = mx.zeros_like(right.values), right
    if case.kept:
        right = read(own, way)
    if case.touched:
        delta = rows(case.touched.delta.block(start, stop))
        control = quantised(without, way, gpu=arithmetic.gpu)
    difference = found.values - right.values
    unlike, along = found.ordinals != right.ordinals, difference * delta
    sums = [
        row_sum(unlike),
        scales_differ(right, found),
        row_sum(off.codes),
        row_sum(off.scales),
        row_sum(along),
        row_sum((right.values - control.values) * delta),
        row_sum(unlike & (along < 0)),
        row_sum(unlike & (along > 0)),
        row_sum(right.ordinals != control.ordinals),
        scales_differ(found, control),
        _unlike(found.tensors, own),
    ]
    worst = mx.stack([_steps(right, found, middle), furthest(right, found)])
    return [mx.stack(sums), mx.stack(effect(found, control, delta)), worst]


def _steps(right: Encoded, found: Encoded, weights: mx.array) -> mx.array:
    """The largest difference in quantisation steps; of floats in units of the last place of the row's largest."""
    difference = mx.abs(found.values - right.values)
    if right.step is not None:
        unit = mx.repeat(right.step[..., 0], difference.shape[-1] // right.step.shape[1], axis=-1)
    elif len(right.tensors) > 1:
        return mx.max(mx.abs(found.ordinals - right.ordinals))
    else:
        unit = EPSILON.get(weights.dtype, 0.0) * mx.max(mx.abs(right.values), -1, keepdims=True)
    return mx.max(difference / mx.maximum(unit, 1e-30))


def _unlike(tensors: Quantised, own: Quantised) -> mx.array:
    """How many packed codes, scales and biases of each row are not the base's own; one where it has none like these."""
    if [t.dtype for t in tensors] != [t.dtype for t in own]:
        return mx.ones((tensors[0].shape[0],))
    return sum((row_sum(rows(b) != a) for a, b in zip(tensors, own, strict=True)), mx.zeros((tensors[0].shape[0],)))
