"""The arithmetics that a fused folder may have been made with, and what each allows a float weight to be.

W + delta depends on who computes it in four ways, each bounded by what it is:

- a product of inner length r is a sum in some order: |fl(a.b) - a.b| <= gamma_r |a|.|b| with gamma_n = nu / (1 - nu),
  u the unit roundoff of the accumulator (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section
  3.1). Every BLAS and every GPU that MLX runs on accumulates in float32, halves too; tensor cores cut digits off
  where others round, up to two of them at each sum (Fasi, Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA
  tensor cores, 2021), so that u is four times as large there. Two such sums are 2 gamma_r apart;
- tensor cores round float32 factors to 10 bits behind the point first (TensorFloat-32), to the nearest or by cutting;
- scale * code + bias is rounded twice, or once where the device fuses multiplication and addition;
- the dtype that weights and product are computed in.

Casts, sums, squares and roots round to nearest, and rounding to nearest is monotone: so a bound goes through them as
its two ends, and where no tie lies between the ends nothing is left of it. That is much narrower than half a unit for
each step: what one arithmetic gives is hardly ever what another one gives in a whole module.

DoRA's norm in half precision is a sum in float32 here; Metal sums halves in halves, for which no bound of use holds.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import mlx.core as mx

from phase8.core.machine import has_fast_quantised_kernels
from phase8.engine.fuse.kernels import dequantise
from phase8.engine.fuse.tensor_sources import Codes, Source
from phase8.engine.integrity.deltas import Factors, Touched
from phase8.engine.integrity.quantised import UNIT

_CUT = 4  # times the unit roundoff: what a tensor core may lose at each sum
_TINY = 2.0**-120  # devices that flush the smallest float32 to zero


@dataclass(frozen=True)
class Arithmetic:
    """How somebody may have computed a fused weight.

    ``here`` is this process, but for the order of sums. Otherwise ``dtype`` is that of weights and delta, ``product``
    that of the factors; ``once`` says that codes were dequantised with one rounding, ``tf32`` how factors were rounded
    to TensorFloat-32 (ties to even, ties away from zero, cut), if at all, ``gpu`` that a GPU did it.
    """

    name: str
    dtype: mx.Dtype
    product: mx.Dtype
    here: bool = False
    once: bool = False
    tf32: Literal["", "even", "away", "cut"] = ""
    gpu: bool = False


class Floats(NamedTuple):
    """Fused weights in one arithmetic: between which ends they are, where most likely, and those without the delta."""

    low: mx.array
    middle: mx.array
    high: mx.array
    control: mx.array


def arithmetics(own: Source, touched: Touched | None, stored: mx.Dtype) -> list[Arithmetic]:
    """Every arithmetic that the stored dtypes allow, the likeliest first.

    Args:
        own: the base's weight.
        touched: what the adapter adds to it.
        stored: the dtype that the folder's weights had before quantising.
    """
    base = _dtype_of(own)
    factors = touched.factors if touched else None
    adapter = mx.result_type(factors.tall, factors.wide) if factors else base
    wide = mx.float32
    found = [Arithmetic(f"{_name(base)} weights as here, sums in another order", base, adapter, here=True)]
    if has_fast_quantised_kernels():
        found.append(Arithmetic(f"{_name(base)} weights as on a CPU", base, adapter))
    kinds = [("", base, adapter)]
    kinds += [(f", products in {_name(one)}", base, one) for one in (base, wide) if factors and one != adapter]
    kinds += [("", one, adapter) for one in dict.fromkeys((wide, stored)) if one != base]
    kinds += [(f", products in {_name(stored)}", stored, stored)] if factors and stored not in (base, wide) else []
    for more, dtype, product in kinds:
        found += [
            Arithmetic(
                f"{_name(dtype)} weights{more}, as on a {device}", dtype, product, once=once, gpu=device == "GPU"
            )
            for device, once in (("CPU", False), ("GPU", False), ("GPU", True))
            if (more or dtype != base or device == "GPU")
        ]
        if factors and product == wide:
            name = f"{_name(dtype)} weights, TensorFloat-32 products, as on a GPU"
            ways: tuple[Literal["even", "away", "cut"], ...] = ("even", "away", "cut")
            found += [
                Arithmetic(name, dtype, product, once=o, tf32=way, gpu=True) for way in ways for o in (False, True)
            ]
    return sorted(found, key=lambda one: bool(one.tf32))


def floats(arithmetic: Arithmetic, expected: Source, touched: Touched | None, start: int, stop: int) -> Floats:
    """The entries ``start`` to ``stop`` of a fused weight in one arithmetic, in the dtype that it leaves them in."""
    source = touched.own if touched else expected
    if touched and touched.factors is None:  # a whole tensor of the adapter's: copied, not computed
        whole = expected.block(start, stop)
        return Floats(whole, whole, whole, source.block(start, stop).astype(whole.dtype))
    own = _own(arithmetic, source, start, stop)
    if touched is None or touched.factors is None:
        return Floats(*own, own[1])
    product, error = _product(arithmetic, touched.factors, start, stop)
    ends = [
        part.astype(arithmetic.product).astype(own[1].dtype) for part in (product - error, product, product + error)
    ]
    low, middle, high = (one + end for one, end in zip(own, ends, strict=True))
    if touched.magnitude is not None:
        low, middle, high = _turned(low, middle, high, touched.magnitude[start:stop])
    if arithmetic.here:
        middle = expected.block(start, stop)
    return Floats(low, middle, high, own[1].astype(middle.dtype))


def gamma(terms: int, unit: float) -> float:
    """Higham's gamma_n: what a sum of so many products may be off by, relative to the sum of their sizes."""
    return terms * unit / (1 - terms * unit)


def _own(arithmetic: Arithmetic, source: Source, start: int, stop: int) -> tuple[mx.array, mx.array, mx.array]:
    """The base's weights without the delta: ends and middle."""
    if arithmetic.here or not isinstance(source, Codes) or source.mode != "affine" or source.biases is None:
        own = source.block(start, stop)
        own = own if arithmetic.here else own.astype(arithmetic.dtype)
        return own, own, own
    scales = source.scales[start:stop].astype(arithmetic.dtype)[..., None]
    biases = source.biases[start:stop].astype(arithmetic.dtype)[..., None]
    codes = _numbers(source, start, stop).reshape(*scales.shape[:-1], source.group_size)
    shape = (*scales.shape[:-2], -1)
    if not arithmetic.once:
        own = (codes.astype(arithmetic.dtype) * scales + biases).reshape(shape)
        return own, own, own
    product = codes * scales.astype(mx.float32)
    value = product + biases.astype(mx.float32)
    exact = arithmetic.dtype != mx.float32  # the product of a code and a half fits into float32
    error = UNIT[mx.float32] * (mx.abs(value) if exact else mx.abs(value) + mx.abs(product))
    parts = (value - error, value, value + error)
    low, middle, high = (part.astype(arithmetic.dtype).reshape(shape) for part in parts)
    return low, middle, high


def _numbers(source: Codes, start: int, stop: int) -> mx.array:
    """The code numbers of a block in float32."""
    shape = source.scales[start:stop].shape
    way = {"group_size": source.group_size, "bits": source.bits, "mode": source.mode}
    return dequantise(source.codes[start:stop], mx.ones(shape), mx.zeros(shape), **way)


def _product(arithmetic: Arithmetic, factors: Factors, start: int, stop: int) -> tuple[mx.array, mx.array]:
    """The delta in float32, and how far from it another sum of the same products may be."""
    tall, wide = (factor.astype(arithmetic.product) for factor in factors.block(start, stop))
    left, right = (factors.scale * tall).astype(mx.float32), wide.astype(mx.float32)
    if arithmetic.tf32:
        left, right = _tf32(left, arithmetic.tf32), _tf32(right, arithmetic.tf32)
    unit = UNIT[mx.float32] * (_CUT if arithmetic.gpu else 1)
    terms = left.shape[-1] + 2  # two more for what computing the bound itself rounds
    apart = gamma(terms, unit) + gamma(terms, UNIT[mx.float32])
    return left @ right, apart * (mx.abs(left) @ mx.abs(right)) + _TINY


def _tf32(array: mx.array, way: Literal["even", "away", "cut"]) -> mx.array:
    """Float32 numbers with 10 of their 23 bits behind the point."""
    bits = array.view(mx.uint32)
    if way == "even":
        bits = bits + 0xFFF + ((bits >> 13) & 1)
    elif way == "away":
        bits = bits + 0x1000
    return (bits & 0xFFFFE000).view(mx.float32)


def _turned(
    low: mx.array, middle: mx.array, high: mx.array, magnitude: mx.array
) -> tuple[mx.array, mx.array, mx.array]:
    """DoRA's magnitude / norm * row, squares, their sum and its root each in the dtype of the row."""
    sizes = [mx.abs(end) for end in (low, high)]
    least = mx.where((low < 0) & (high > 0), mx.zeros_like(low), mx.minimum(*sizes))
    off = gamma(low.shape[-1] + 2, UNIT[mx.float32])
    norms = [_norm(size, part) for size, part in ((mx.maximum(*sizes), 1 + off), (least, 1 - off))]
    factors = [magnitude[:, None] / norm for norm in norms]
    corners = [factor * end for factor in factors for end in (low, high)]
    lowest, highest = corners[0], corners[0]
    for corner in corners[1:]:
        lowest, highest = mx.minimum(lowest, corner), mx.maximum(highest, corner)
    return lowest, (magnitude[:, None] / _norm(middle, 1.0)) * middle, highest


def _norm(rows: mx.array, off: float) -> mx.array:
    """The norm of each row, in its dtype, the sum of squares in float32 and off by a factor."""
    squares = mx.square(rows).astype(mx.float32)
    return mx.sqrt((mx.sum(squares, -1, keepdims=True) * off).astype(rows.dtype))


def _dtype_of(source: Source) -> mx.Dtype:
    """The dtype of a weight's values; nothing is computed."""
    return source.block(0, 1).dtype


def _name(dtype: mx.Dtype) -> str:
    return f"{dtype}".rpartition(".")[2]
