"""Weights as a folder holds them, read back as code numbers and as values; and what a delta changed in them.

Sums run over a row in float32 and over rows in float64, so that a million small terms are not lost.
"""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from phase8.engine.fuse.kernels import Quantised, dequantise
from phase8.engine.fuse.recipe import Way

UNIT = {mx.bfloat16: 2.0**-8, mx.float16: 2.0**-11, mx.float32: 2.0**-24}  # unit roundoff
SMALLEST = {mx.bfloat16: 2.0**-133, mx.float16: 2.0**-24, mx.float32: 2.0**-149}  # above zero
EPSILON = {mx.bfloat16: 2.0**-7, mx.float16: 2.0**-10, mx.float32: 2.0**-23}  # of one, the next float's distance


@dataclass(frozen=True, eq=False)
class Encoded:
    """A block of weights as (rows, D). ``ordinals`` number the codes by size; for floats they are the values.

    ``step`` is the distance of neighbouring codes, (rows, groups, 1); None where codes have no such distance
    (mxfp4 and the like) or there are no codes.
    """

    tensors: Quantised
    ordinals: mx.array
    values: mx.array
    step: mx.array | None = None


def read(tensors: Quantised, way: Way | None) -> Encoded:
    """Codes, scales and biases, or floats alone, in float32."""
    tensors = tuple(rows(tensor) for tensor in tensors)
    if way is None:
        values = tensors[0].astype(mx.float32)
        return Encoded(tensors, values, values)
    codes, scales, *biases = tensors
    if way.mode != "affine":
        values = mx.dequantize(codes, scales, group_size=way.group_size, bits=way.bits, mode=way.mode)
        return Encoded(tensors, _signed(codes, way.bits), values.astype(mx.float32))
    one, zero = mx.ones(scales.shape), mx.zeros(scales.shape)
    ordinals = dequantise(codes, one, zero, group_size=way.group_size, bits=way.bits, mode=way.mode)
    step = scales.astype(mx.float32)[..., None]
    grouped = ordinals.reshape(*scales.shape, way.group_size)
    values = grouped * step + biases[0].astype(mx.float32)[..., None]
    return Encoded(tensors, ordinals, values.reshape(ordinals.shape), mx.abs(step))


def _signed(codes: mx.array, bits: int) -> mx.array:
    """The rank of sign-magnitude codes: minus zero and zero are one."""
    integers = codes.view(mx.uint8)
    if bits == 4:
        integers = mx.stack([integers & 15, integers >> 4], -1).flatten(-2)
    sign = 1 << (bits - 1)
    size = (integers & (sign - 1)).astype(mx.float32)
    return mx.where(integers & sign, -size, size)


def rows(array: mx.array) -> mx.array:
    """An array (..., D) as (rows, D)."""
    return array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)


def row_sum(array: mx.array) -> mx.array:
    """The sum or the count of each row, in float32."""
    return mx.sum(array, -1).astype(mx.float32)


def same_bits(one: mx.array, other: mx.array) -> mx.array:
    """Where two arrays of one dtype hold the same bits."""
    if not mx.issubdtype(one.dtype, mx.floating):
        return one == other
    kind = {2: mx.uint16, 4: mx.uint32, 8: mx.uint64}[one.itemsize]
    return one.view(kind) == other.view(kind)


def scales_differ(one: Encoded, other: Encoded) -> mx.array:
    """How many scales and biases of each row differ; nothing for floats."""
    pairs = zip(one.tensors[1:], other.tensors[1:], strict=True)
    return sum((row_sum(~same_bits(a, b)) for a, b in pairs), mx.zeros(one.values.shape[0]))


def furthest(one: Encoded, other: Encoded) -> mx.array:
    """The largest distance of a scale's or bias's size, counted in numbers of its own dtype; nothing for floats.

    Of its size, since both change their sign where a group's edge is its other end.
    """
    pairs = zip(one.tensors[1:], other.tensors[1:], strict=True)
    return mx.max(mx.stack([mx.array(0.0), *(mx.max(_apart(a, b)) for a, b in pairs)]))


def _apart(one: mx.array, other: mx.array) -> mx.array:
    """How many steps of their dtype two arrays are apart, in float32; not a number where either is none."""
    numbers = mx.isnan(one) | mx.isnan(other)
    return mx.where(numbers, mx.nan, mx.abs(_place(one) - _place(other)).astype(mx.float32))


def _place(array: mx.array) -> mx.array:
    """The place of each number's size among all of its dtype."""
    if not mx.issubdtype(array.dtype, mx.floating):
        return array.astype(mx.int64)
    return mx.abs(array).view({2: mx.int16, 4: mx.int32}[array.itemsize]).astype(mx.int64)


def effect(found: Encoded, control: Encoded, delta: mx.array) -> list[mx.array]:
    """What ``Effect`` is the sum of, for each row: of found - control, and of the delta, float32 (rows, D)."""
    change = found.values - control.values
    ones = mx.full((change.shape[0],), change.shape[1], mx.float32)
    step = mx.zeros_like(ones) if found.step is None else mx.mean(found.step, (1, 2)) * change.shape[1]
    moved = row_sum(found.ordinals != control.ordinals)
    return [ones, moved, *map(row_sum, (change * delta, change * change, delta * delta, change, delta)), step]


def entry_sums(stacked: mx.array, entries: int) -> np.ndarray:
    """Row sums (K, rows) added up for each of the entries of the first axis: (K, entries) in float64."""
    array = np.array(stacked, dtype=np.float64)
    return array.reshape(array.shape[0], entries, -1).sum(-1)
