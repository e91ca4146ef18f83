"""Is MLX fast on this machine? Facts, and two measured rates."""

import time
from collections.abc import Callable
from statistics import median

import mlx.core as mx
from rich.console import Console

from phase8.core.blas import arithmetic, blas
from phase8.core.machine import GB, compute_dtype, disk_free_gb, this_machine, versions
from phase8.core.project import ROOT

ROUNDS = 7
_SIDE = 1024
_COPY_BYTES = 256 * 1024 * 1024


def gemm_gflops() -> list[float]:
    """The rate of a 1024 x 1024 x 1024 float32 matrix product in GFLOP/s, a value a round."""
    a, b = mx.random.normal((_SIDE, _SIDE)), mx.random.normal((_SIDE, _SIDE))
    mx.eval(a, b)
    return [2 * _SIDE**3 / seconds / 1e9 for seconds in _times(lambda: mx.eval(a @ b))]


def copy_gb_per_s() -> list[float]:
    """The rate of copying 256 MiB of float32 inside MLX in GB/s, read and write counted, a value a round."""
    x = mx.zeros((_COPY_BYTES // 4,))
    mx.eval(x)
    return [2 * _COPY_BYTES / seconds / GB for seconds in _times(lambda: mx.eval(x + 0.0))]


def report(console: Console) -> None:
    """Print device, versions, BLAS, memory, disk, and the measured rates."""
    here, used = this_machine(), blas()
    lines = {
        "system": f"{here.system} {here.machine}, Python {here.python}",
        "chip": f"{here.chip}, {here.cores} cores",
        "memory": f"{here.memory_gb:g} GB",
        "disk": f"{disk_free_gb(ROOT / 'build'):.0f} GB free",
        "MLX device": f"{mx.default_device()}",
        "BLAS": f"{used.name} {used.version}" + (f" ({used.path})" if used.path else ""),
        "products by": str(arithmetic()) or "MLX's own kernels",
        "compute dtype": compute_dtype(),
        **versions(),
    }
    for name, value in lines.items():
        console.print(f"{name:14} {value}", markup=False, highlight=False)
    for name, values, unit in (
        ("matrix product", gemm_gflops(), "GFLOP/s float32"),
        ("memory copy", copy_gb_per_s(), "GB/s"),
    ):
        console.print(
            f"{name:14} {median(values):.1f} {unit} (median of {len(values)}, {min(values):.1f}-{max(values):.1f})",
            highlight=False,
        )
    if not used.fast:
        console.print(
            "[bold red]The slow reference BLAS is in use:[/] training and judging take some forty times longer. "
            "Install OpenBLAS (Debian: libopenblas0) or, on x86-64, `pip install mkl` into this environment."
        )


def _times(work: Callable[[], None]) -> list[float]:
    work()
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found
