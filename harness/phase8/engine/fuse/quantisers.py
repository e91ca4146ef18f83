"""Which codes, scales and biases MLX's quantisers may give for weights that are known to lie between two ends.

Affine: a group's edge is the end that is larger in size, edge and bias are one number of the folder's dtype, and with
q = round(edge / step), step = (max - min) / (2^bits - 1), the scale is edge / q and a code round((w - bias) / scale).
q is a whole number: near a tie it may be either, which moves the scale by up to a part in q and every code of the
group, and the edge may be either end where both are equally large. So no derivative bounds them. Instead each q is
tried that the ends allow; the scale must be edge / q in the folder's dtype, and every code one that its
weight's ends give under that scale. Metal and CUDA round ties away from zero, a CPU to even, and both begin
with a largest weight of zero; either is allowed.

mxfp4, mxfp8 and nvfp4: a scale is the largest size over the largest code, as the next power of two
or (nvfp4) the nearest E4M3; a code is the number of its format nearest to w / scale, ties either way.
"""

import math
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import mlx.core as mx

from phase8.engine.fuse.kernels import quantise_all
from phase8.engine.fuse.recipe import Way
from phase8.engine.integrity.quantised import SMALLEST, UNIT, Encoded, read, rows

_UNIT = UNIT[mx.float32]  # that of the quantisers
_EPS = 1e-7  # MLX's smallest step
_LARGEST = {"mxfp4": 6.0, "nvfp4": 6.0, "mxfp8": 448.0}


class Outside(NamedTuple):
    """Codes (rows, D) and scales (rows, groups) that no weights between the ends give."""

    codes: mx.array
    scales: mx.array


class _Ends(NamedTuple):
    """Groups of weights (rows, groups, size) between two ends, and the ends of their largest and smallest."""

    low: mx.array
    high: mx.array
    top: tuple[mx.array, mx.array]
    bottom: tuple[mx.array, mx.array]


def quantised(weights: mx.array, way: Way | None, *, gpu: bool) -> Encoded:
    """Weights (..., D) as this device quantises them, or with the ties of Metal and CUDA."""
    if way is None:
        return read((weights,), None)
    if not gpu:
        return read(quantise_all(weights, [way])[0], way)
    if way.mode != "affine":
        return read(quantise_all(weights.astype(mx.float32), [way])[0], way)
    return _as_on_a_gpu(rows(weights), way)


def _as_on_a_gpu(weights: mx.array, way: Way) -> Encoded:
    """``affine_quantize`` of MLX's Metal and CUDA kernels, codes not packed."""
    grouped = weights.astype(mx.float32).reshape(weights.shape[0], -1, way.group_size)
    top, bottom = mx.maximum(mx.max(grouped, -1), 0.0), mx.min(grouped, -1)
    step = mx.maximum((top - bottom) / _bins(way), _EPS)
    below = mx.abs(bottom) > mx.abs(top)
    edge, step = mx.where(below, bottom, top), mx.where(below, step, -step)
    q = _away(edge / step)
    scale, bias = mx.where(q == 0, step, edge / q), mx.where(q == 0, 0.0, edge)
    codes = mx.clip(_away((grouped - bias[..., None]) / scale[..., None]), 0, _bins(way))
    scale, bias = (one.astype(weights.dtype) for one in (scale, bias))
    values = codes * scale.astype(mx.float32)[..., None] + bias.astype(mx.float32)[..., None]
    steps = mx.abs(scale.astype(mx.float32))[..., None]
    return Encoded((codes, scale, bias), codes.reshape(weights.shape), values.reshape(weights.shape), steps)


def _away(x: mx.array) -> mx.array:
    """The nearest whole number, ties away from zero."""
    return mx.sign(x) * mx.floor(mx.abs(x) + 0.5)


def outside(low: mx.array, high: mx.array, found: Encoded, way: Way | None) -> Outside:
    """What of a folder's block no weights between ``low`` and ``high`` give, both (..., D) in the folder's dtype."""
    dtype = low.dtype
    low, high = (rows(end).astype(mx.float32) for end in (low, high))
    if way is None:
        inside = (found.values >= low) & (found.values <= high)
        return Outside(~inside, mx.zeros((low.shape[0], 1), mx.bool_))
    shape = (low.shape[0], -1, way.group_size)
    low, high = low.reshape(shape), high.reshape(shape)
    if way.mode != "affine":
        return _outside_floats(low, high, found, way, dtype)
    ends = _Ends(low, high, (mx.max(low, -1), mx.max(high, -1)), (mx.min(low, -1), mx.min(high, -1)))
    return _outside_affine(ends, found, way)


def _outside_affine(ends: _Ends, found: Encoded, way: Way) -> Outside:
    """For each group the q that explains it best; where none is allowed, the nearest one tells the codes.

    A half cannot hold every edge / q apart: up to three q are tried one by one, what is more is taken as a range.
    """
    dtype = found.tensors[1].dtype
    scale, bias = (one.astype(mx.float32) for one in found.tensors[1:3])
    numbers = found.ordinals.reshape(ends.low.shape)
    least, most = _q_range(ends, scale, bias, dtype, way)
    allowed = (least <= most) & (bias != 0) | _no_bias(ends, scale, bias, dtype, way)
    nearest = mx.round(bias / scale)
    least, most = mx.where(least <= most, least, nearest), mx.where(least <= most, most, nearest)
    tries = [(least, least), (mx.minimum(least + 1, most),) * 2, (mx.minimum(least + 2, most), most)]
    best: tuple[mx.array, mx.array] | None = None
    for lower, upper in tries if dtype != mx.float32 and way.bits > 4 else [(least, most)]:
        scales = [mx.where(bias == 0, scale, bias / q) for q in (lower, upper)]
        codes = _codes_outside(ends, scales, bias, numbers, way)
        wrong = mx.sum(codes, -1)
        if best is None:
            best = codes, wrong
        else:
            better = (wrong < best[1])[..., None]
            best = mx.where(better, codes, best[0]), mx.minimum(wrong, best[1])
    assert best is not None
    return Outside(best[0].reshape(found.ordinals.shape), ~allowed)


def _q_range(ends: _Ends, scale: mx.array, bias: mx.array, dtype: mx.Dtype, way: Way) -> tuple[mx.array, mx.array]:
    """The whole numbers q whose edge / q is stored as ``scale``, and that the ends allow; none where least > most."""
    cell = [(scale + _next(scale, dtype, up=up)) / 2 for up in (True, False)]  # what rounds to it lies between these
    quotients = [bias / end for end in cell]
    slack = 4 * _UNIT * mx.maximum(*map(mx.abs, quotients))
    stored = mx.ceil(mx.minimum(*quotients) - slack), mx.floor(mx.maximum(*quotients) + slack)
    least, most = mx.full(bias.shape, mx.inf), mx.full(bias.shape, -mx.inf)
    for clamped in (False, True):
        for side in _sides(ends, bias, way, clamped=clamped):
            low, high = mx.maximum(stored[0], side.least), mx.minimum(stored[1], side.most)
            may = side.may & (low <= high)
            least, most = mx.where(may, mx.minimum(least, low), least), mx.where(may, mx.maximum(most, high), most)
    return least, most


def _next(value: mx.array, dtype: mx.Dtype, *, up: bool) -> mx.array:
    """The next larger or smaller size of a dtype, with the same sign, in float32."""
    kind = mx.uint32 if dtype == mx.float32 else mx.uint16
    bits = value.astype(dtype).view(kind)
    one = mx.array(1, kind)
    return (bits + one if up else bits - one).view(dtype).astype(mx.float32)


def _bins(way: Way) -> int:
    return 2**way.bits - 1


class _Side(NamedTuple):
    """One end of each group as its edge: whether it may be, and the whole numbers q that it may have."""

    may: mx.array
    least: mx.array
    most: mx.array


def _sides(ends: _Ends, bias: mx.array, way: Way, *, clamped: bool) -> list[_Side]:
    """Both ends as the edge, which the bias is; ``clamped`` is a largest weight of at least zero."""
    top = (mx.maximum(ends.top[0], 0.0), mx.maximum(ends.top[1], 0.0)) if clamped else ends.top
    (top_least, top_most), (bottom_least, bottom_most) = _sizes(top), _sizes(ends.bottom)
    found = []
    for edge, other, may, sign in (
        (ends.bottom, top, bottom_most > top_least, 1.0),
        (top, ends.bottom, bottom_least <= top_most, -1.0),
    ):
        steps = [sign * mx.maximum(mx.abs(end - bias) / _bins(way), _EPS) for end in other]
        ratios = [bias / step for step in steps]
        slack = 0.5 + 4 * _UNIT * (mx.maximum(*map(mx.abs, ratios)) + 1)
        least, most = mx.ceil(mx.minimum(*ratios) - slack), mx.floor(mx.maximum(*ratios) + slack)
        found.append(_Side(may & (edge[0] <= bias) & (bias <= edge[1]), least, most))
    return found


def _no_bias(ends: _Ends, scale: mx.array, bias: mx.array, dtype: mx.Dtype, way: Way) -> mx.array:
    """Whether all of a group is so small that q is zero: then the bias is, and the scale is the step itself."""
    steps = [
        mx.maximum((top - bottom) / _bins(way), _EPS) for top, bottom in zip(ends.top, ends.bottom[::-1], strict=True)
    ]
    edge = mx.maximum(_sizes(ends.top)[0], _sizes(ends.bottom)[0])
    low, high = (
        (step * (1 + part)).astype(dtype).astype(mx.float32)
        for step, part in zip(steps, (-2 * _UNIT, 2 * _UNIT), strict=True)
    )
    size = mx.abs(scale)
    return (bias == 0) & (edge <= (0.5 + 4 * _UNIT) * steps[1]) & (low <= size) & (size <= high)


def _sizes(ends: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
    """The least and the largest size of what lies between two ends."""
    one, other = (mx.abs(end) for end in ends)
    spans = (ends[0] < 0) & (ends[1] > 0)
    return mx.where(spans, 0.0, mx.minimum(one, other)), mx.maximum(one, other)


def _codes_outside(ends: _Ends, scales: list[mx.array], bias: mx.array, numbers: mx.array, way: Way) -> mx.array:
    """Codes that round((w - bias) / scale) is for no w between the ends; a tie is either."""
    places = [(end - bias[..., None]) / scale[..., None] for end in (ends.low, ends.high) for scale in scales]
    low, high = places[0], places[0]
    for place in places[1:]:
        low, high = mx.minimum(low, place), mx.maximum(high, place)
    slack = 0.5 + 4 * _UNIT * (mx.maximum(mx.abs(low), mx.abs(high)) + 1)
    least, most = (mx.clip(end, 0, _bins(way)) for end in (mx.ceil(low - slack), mx.floor(high + slack)))
    return ~((numbers >= least) & (numbers <= most))


def _outside_floats(low: mx.array, high: mx.array, found: Encoded, way: Way, dtype: mx.Dtype) -> Outside:
    """The same for mxfp4, mxfp8 and nvfp4; a CPU divides by the largest code in the dtype of the weights."""
    number = found.tensors[1].astype(mx.float32)
    sizes = [mx.max(size, -1) / _LARGEST[way.mode] for size in _sizes((low, high))]
    error = [2 * UNIT[dtype] * size + SMALLEST[dtype] / 2 for size in sizes]
    sizes = [mx.maximum(sizes[0] - error[0], 0.0), mx.where(sizes[1] == 0, 0.0, sizes[1] + error[1])]
    if way.mode == "nvfp4":
        scale, least, most = (mx.take(table, found.tensors[1].astype(mx.int32)) for table in _between(3))
        allowed = (sizes[1] >= least) & (sizes[0] <= most)
    else:
        scale = mx.power(2.0, number - 127)
        enough = scale >= sizes[0]
        needed = (scale / 2 <= sizes[1]) | (number == 0)
        zero = (sizes[0] == 0) & (
            (number == 0) | (number == 127)
        )  # of nothing a CPU's scale is one, a GPU's the smallest
        allowed = zero | enough & needed & (sizes[1] > 0)
    ordinals = found.ordinals.reshape(low.shape)
    _, least, most = (
        mx.take(table, mx.abs(ordinals).astype(mx.int32)) for table in _between(1 if way.bits == 4 else 3)
    )
    negative = ordinals < 0
    least, most = mx.where(negative, -most, least), mx.where(negative, -least, most)
    least = mx.where(ordinals == 0, -most, least)
    places = [end / scale[..., None] for end in (low, high)]
    slack = [4 * _UNIT * mx.abs(place) for place in places]
    inside = (places[1] + slack[1] >= least) & (places[0] - slack[0] <= most)
    inside = mx.where(scale[..., None] == 0, ordinals == 0, inside)
    return Outside(~inside.reshape(found.ordinals.shape), ~allowed)


@cache
def _between(fraction: int) -> tuple[mx.array, mx.array, mx.array]:
    """Each size of E2M1 (one bit of fraction) or E4M3 (three), and the points halfway to the one below and above."""
    bias = 1 if fraction == 1 else 7
    largest = 7 if fraction == 1 else 126
    sizes = []
    for number in range(largest + 1):
        power, part = number >> fraction, (number & ((1 << fraction) - 1)) / (1 << fraction)
        sizes.append(math.ldexp(part, 1 - bias) if power == 0 else math.ldexp(1 + part, power - bias))
    middles = [(one + other) / 2 for one, other in pairwise(sizes)]
    nan = [math.nan] * (256 - len(sizes) if fraction == 3 else 0)
    return mx.array(sizes + nan), mx.array([0.0, *middles, *nan]), mx.array([*middles, math.inf, *nan])
