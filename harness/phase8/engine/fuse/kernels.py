"""Quantising and dequantising with MLX's results, in less time on a CPU.

MLX's CPU kernels read half precision element by element. Converting a block to float32
once, and unpacking codes with whole-array operations, gives the same bits one and a half
to two times faster (codes of 3, 5 and 6 bits eight times). That they are the same is not assumed: each
combination is compared with MLX's own kernel on a block of hard cases when it is first
used in a process, and where a bit differs, the kernel is used.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import mlx.core as mx

from phase8.core.machine import has_fast_quantised_kernels

Quantised = tuple[mx.array, ...]


def quantise_all(weight: mx.array, ways: Sequence[tuple[int, int, str]]) -> list[Quantised]:
    """Codes, scales and (affine) biases of weights (..., D) as ``mx.quantize`` gives them.

    ``ways`` holds (group size, bits, mode) for each; one conversion to float32 serves them all.
    """
    wide = None
    found: list[Quantised] = []
    for group_size, bits, mode in ways:
        if mode == "affine" and weight.dtype != mx.float32 and _float32_agrees(weight.dtype, group_size, bits):
            wide = weight.astype(mx.float32) if wide is None else wide
            found.append(_quantise_as_float32(wide, weight.dtype, group_size, bits))
        else:
            found.append(tuple(mx.quantize(weight, group_size, bits, mode=mode)))
    return found


def dequantise(codes: mx.array, scales: mx.array, biases: mx.array | None, **way: Any) -> mx.array:
    """Weights (..., D) in the dtype of the scales, as ``mx.dequantize`` gives them.

    ``way`` is ``group_size``, ``bits`` and ``mode``.
    """
    group_size, bits, mode = way["group_size"], way["bits"], way["mode"]
    if mode == "affine" and biases is not None and _unpacking_agrees(scales.dtype, group_size, bits):
        return _unpack(codes, scales, biases, group_size, bits)
    return mx.dequantize(codes, scales, biases, group_size=group_size, bits=bits, mode=mode)


def _quantise_as_float32(weight: mx.array, dtype: mx.Dtype, group_size: int, bits: int) -> Quantised:
    codes, scales, biases = mx.quantize(weight.astype(mx.float32), group_size, bits)
    return codes, scales.astype(dtype), biases.astype(dtype)


def _unpack(codes: mx.array, scales: mx.array, biases: mx.array, group_size: int, bits: int) -> mx.array:
    """scale * code + bias, each step rounded in the dtype of the scales."""
    integers = _integers(codes.view(mx.uint8), bits)
    grouped = integers.reshape(*scales.shape, group_size).astype(scales.dtype)
    weight = grouped * scales[..., None] + biases[..., None]
    return weight.reshape(*scales.shape[:-1], -1)


def _integers(packed: mx.array, bits: int) -> mx.array:
    """The codes in a row of bytes, lowest bits first, as one byte each; those of 3, 5 and 6 bits reach over bytes."""
    if bits == 8:
        return packed
    if bits == 4:  # two codes a byte, the first in the low half: spread over two bytes
        pairs = packed.astype(mx.uint16)
        return ((pairs | (pairs << 4)) & 0x0F0F).view(mx.uint8)
    size = math.lcm(bits, 8)
    packs = packed.reshape(-1, size // 8)
    codes = []
    for first in range(0, size, bits):
        byte, shift = divmod(first, 8)
        code = packs[:, byte] >> shift
        if shift + bits > 8:
            code = code | (packs[:, byte + 1] << (8 - shift))
        codes.append(code & ((1 << bits) - 1))
    return mx.stack(codes, -1)


@cache
def _float32_agrees(dtype: mx.Dtype, group_size: int, bits: int) -> bool:
    """Whether quantising in float32 gives the kernel's bits for this dtype; False where kernels are fast anyway."""
    if has_fast_quantised_kernels():
        return False
    block = _hard_cases(dtype, group_size)
    return _same(_quantise_as_float32(block, dtype, group_size, bits), mx.quantize(block, group_size, bits))


@cache
def _unpacking_agrees(dtype: mx.Dtype, group_size: int, bits: int) -> bool:
    """Whether unpacking with whole-array operations gives the kernel's bits for this dtype."""
    if has_fast_quantised_kernels():
        return False
    codes, scales, biases = mx.quantize(_hard_cases(dtype, group_size), group_size, bits)
    kernel = mx.dequantize(codes, scales, biases, group_size=group_size, bits=bits)
    return _same((_unpack(codes, scales, biases, group_size, bits),), (kernel,))


def _hard_cases(dtype: mx.Dtype, group_size: int) -> mx.array:
    """Weights of usual size, others over 12 powers of ten, and groups that are constant or zero."""
    key = mx.random.key(8)
    usual = mx.random.normal((96, 2 * group_size), scale=0.03, key=key)
    powers = mx.power(10.0, mx.random.uniform(-9, 3, (32, 1), key=key))
    spread = mx.random.normal((32, 2 * group_size), key=key) * powers
    constant = mx.broadcast_to(mx.array([[0.0], [0.02], [-0.02], [1.0]]), (4, 2 * group_size))
    return mx.concatenate([usual, spread, constant]).astype(dtype)


def _same(ours: Any, kernel: Any) -> bool:
    """Whether all arrays are equal bit by bit."""
    pairs = zip(ours, kernel, strict=True)
    return all(bool(mx.array_equal(mx.view(a, mx.uint8), mx.view(b, mx.uint8)).item()) for a, b in pairs)
