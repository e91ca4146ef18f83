"""How a tensor of a fused folder differs from Q(W + delta): how far, in which experts, and at whose expense."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from harness.engine.blocks import BLOCK, pipelined, spans
from harness.engine.deltas import Touched, is_experts, read_deltas
from harness.engine.encoded import EPSILON, Encoded, effect, entry_sums, read, row_sum, rows, scales_differ
from harness.engine.fused_folder import FusedFolder, read_fused
from harness.engine.kernels import Quantised, quantise_all
from harness.engine.merge import Merged, merge
from harness.engine.recipe import Way
from harness.engine.weights import Codes, Source, Whole
from harness.shortfall import Effect, Fields, Unlike, describe

_LEAVES = ("weight", "scales", "biases")
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
    """The outcome for each entry of the first axis of an expert stack, or for the whole; the worst counts."""
    shape, stack = case.expected.shape, case.stack
    sums: list[np.ndarray] = []
    effects: list[np.ndarray] = []
    worst = 0.0
    for part in pipelined(_parts(case), lambda part: part):
        entries = part[0].shape[1] // shape[1] if stack else 1
        sums.append(entry_sums(part[0], entries))
        effects.append(entry_sums(part[1], entries))
        largest = float(np.array(part[2]))
        worst = max(worst, largest) if math.isfinite(largest) else math.inf
    table, effect_table = np.concatenate(sums, 1), np.concatenate(effects, 1)
    if not stack:
        table, effect_table = table.sum(1, keepdims=True), effect_table.sum(1, keepdims=True)
    columns = zip(table.T.tolist(), effect_table.T.tolist(), strict=True)
    found = [(Unlike(*unlike), Effect(*changed)) for unlike, changed in columns]
    return describe(name, found, worst, stack=stack, kept=case.kept)


def _parts(case: _Case) -> Iterator[Callable[[], list[mx.array]]]:
    for start, stop in spans(case.expected.shape, BLOCK):
        yield partial(_block, case, start, stop)


def _block(case: _Case, start: int, stop: int) -> list[mx.array]:
    """Row sums named in ``Unlike`` and in ``Effect``, and the largest difference in steps; not computed."""
    weights, way = case.expected.block(start, stop), case.way
    tensors = tuple(whole.block(start, stop) for whole in case.found)
    own = tuple(whole.block(start, stop) for whole in case.own or ())
    affine = way is not None and way.mode == "affine"
    dtype = tensors[1].dtype if affine else weights.dtype if way else tensors[0].dtype
    right, found = _encoded(weights.astype(dtype), way), read(tensors, way)
    wide, delta, control = rows(weights.astype(dtype)).astype(mx.float32), mx.zeros_like(right.values), right
    if case.kept:
        right = read(own, way)
    if case.touched:
        delta = rows(case.touched.delta.block(start, stop))
        control = _encoded(case.touched.own.block(start, stop).astype(weights.dtype).astype(dtype), way)
    epsilon = max(EPSILON.get(weights.dtype, 0.0), EPSILON.get(dtype, 0.0))
    slack = epsilon * (mx.abs(wide) + mx.abs(delta)) + 2.0**-20 * mx.max(mx.abs(delta), axis=-1, keepdims=True)
    difference, steps = found.values - right.values, mx.abs(found.ordinals - right.ordinals)
    unlike = found.ordinals != right.ordinals
    near = (steps == 1) & (mx.abs(wide - _ties(wide, right, found, way)) <= slack) if way else steps <= slack
    along = difference * delta
    sums = [
        row_sum(unlike),
        scales_differ(right, found),
        row_sum(unlike & ~near),
        row_sum(along),
        row_sum((right.values - control.values) * delta),
        row_sum(unlike & (along < 0)),
        row_sum(unlike & (along > 0)),
        row_sum(right.ordinals != control.ordinals),
        scales_differ(found, control),
        _unlike(found.tensors, own),
    ]
    unit = _unit(right, wide, epsilon)
    worst = mx.max(steps if unit is None else mx.abs(difference) / unit)
    return [mx.stack(sums), mx.stack(effect(found, control, delta)), worst]


def _encoded(weights: mx.array, way: Way | None) -> Encoded:
    return read(quantise_all(weights, [way])[0] if way else (weights,), way)


def _ties(wide: mx.array, right: Encoded, found: Encoded, way: Way | None) -> mx.array:
    """The value halfway between the right code and the found one, by the scale that was not yet rounded."""
    if way is None or way.mode != "affine":
        return (right.values + found.values) / 2
    _, scales, biases = mx.quantize(wide, way.group_size, way.bits)
    middle = ((right.ordinals + found.ordinals) / 2).reshape(*scales.shape, way.group_size)
    return (middle * scales[..., None] + biases[..., None]).reshape(wide.shape)


def _unit(right: Encoded, wide: mx.array, epsilon: float) -> mx.array | None:
    """What a difference is measured in: quantisation steps, or units in the last place of floats; None for codes."""
    if right.step is not None:
        return mx.maximum(mx.repeat(right.step[..., 0], wide.shape[-1] // right.step.shape[1], axis=-1), 1e-30)
    return None if len(right.tensors) > 1 else mx.maximum(epsilon * mx.abs(wide), 1e-30)


def _unlike(tensors: Quantised, own: Quantised) -> mx.array:
    """How many packed codes, scales and biases of each row are not the base's own; one where it has none like these."""
    if [t.dtype for t in tensors] != [t.dtype for t in own]:
        return mx.ones((tensors[0].shape[0],))
    return sum((row_sum(rows(b) != a) for a, b in zip(tensors, own, strict=True)), mx.zeros((tensors[0].shape[0],)))
