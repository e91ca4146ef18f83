"""How a CPU is best used for much work at once: threads, compiled graphs, memory. Nothing here applies to a GPU."""

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager

import mlx.core as mx
import mlx.nn as nn
from threadpoolctl import threadpool_limits

from phase8.core.blas import SMALL, blas
from phase8.core.machine import has_fast_quantised_kernels
from phase8.engine.arrays import named_arrays

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_KEPT = 1 << 30  # bytes


@contextmanager
def threads_for(model: nn.Module) -> Generator[None]:
    """A context in which BLAS keeps to one thread if the model is small: a second one would cost more than it saves."""
    if not _is_small(model):
        yield
        return
    with _one_mkl_thread() if blas().name == "MKL" else threadpool_limits(limits=1, user_api="blas"):
        yield


def batch_parts(model: nn.Module) -> int:
    """In how many parts a batch is computed side by side: 2 of a small model on a CPU, however many cores there are.

    What a small model does is too little to be shared out inside; its two halves of a batch are not. Measured on
    ``pocket`` with two cores: 0.7 of the time a step. The same on every machine, as halves add up in another order.
    """
    return 2 if _is_small(model) and not has_fast_quantised_kernels() else 1


def _is_small(model: nn.Module) -> bool:
    return sum(value.size for value in named_arrays(model.parameters()).values()) < SMALL


@contextmanager
def _one_mkl_thread() -> Generator[None]:
    """Of MKL threadpoolctl limits the calling thread alone, and for good; MLX computes in threads of its own."""
    mkl = ctypes.CDLL(blas().path)
    before = mkl.MKL_Get_Max_Threads()
    mkl.MKL_Set_Num_Threads(1)
    try:
        yield
    finally:
        mkl.MKL_Set_Num_Threads(before)


@contextmanager
def uncompiled() -> Generator[None]:
    """A context in which functions are not compiled on a CPU.

    There MLX compiles with the machine's ``g++``, if it has one, every new shape anew: a minute of a training
    run in which a step became no faster. Without it a step is also the same on machines that have no compiler.
    """
    if has_fast_quantised_kernels():
        yield
        return
    mx.disable_compile()
    try:
        yield
    finally:
        mx.enable_compile()


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GB that it has freed: MLX gives its CPU arrays back and asks anew at every step.

    Saves 8 % of a training step on SmolLM2 (n=3). Not for a process whose memory is measured. Only glibc knows this.
    """
    if sys.platform != "linux" or has_fast_quantised_kernels():
        return
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
