"""Quantising and dequantising with MLX's results, in less time on a CPU.

MLX's CPU kernels read half precision element by element. Converting a block to float32
once, and unpacking 4- and 8-bit codes with whole-array operations, gives the same bits
one and a half to two times faster. That they are the same is not assumed: each
combination is compared with MLX's own kernel on a block of hard cases when it is first
used in a process, and where a bit differs, the kernel is used.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import mlx.core as mx

from harness.machine import has_fast_quantised_kernels

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
    if mode == "affine" and biases is not None and bits in (4, 8) and _unpacking_agrees(scales.dtype, group_size, bits):
        return _unpack(codes, scales, biases, group_size, bits)
    return mx.dequantize(codes, scales, biases, group_size=group_size, bits=bits, mode=mode)


def _quantise_as_float32(weight: mx.array, dtype: mx.Dtype, group_size: int, bits: int) -> Quantised:
    codes, scales, biases = mx.quantize(weight.astype(mx.float32), group_size, bits)
    return codes, scales.astype(dtype), biases.astype(dtype)


def _unpack(codes: mx.array, scales: mx.array, biases: mx.array, group_size: int, bits: int) -> mx.array:
    """scale * code + bias, each step rounded in the dtype of the scales."""
    integers = codes.view(mx.uint8)
    if bits == 4:  # two codes a byte, the first in the low half: spread over two bytes
        pairs = integers.astype(mx.uint16)
        integers = ((pairs | (pairs << 4)) & 0x0F0F).view(mx.uint8)
    grouped = integers.reshape(*scales.shape, group_size).astype(scales.dtype)
    weight = grouped * scales[..., None] + biases[..., None]
    return weight.reshape(*scales.shape[:-1], -1)


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
