"""The commands of stock mlx-lm that ours are compared with, each for a process of its own."""

import sys
from collections.abc import Sequence
from pathlib import Path

AS_INSTALLED = (sys.executable, "-m", "mlx_lm")
# The last bit of a delta depends on who multiplies: with our engine imported first, both sides use the same BLAS.
SAME_BLAS = (
    sys.executable,
    "-c",
    "import runpy, sys, harness.engine; sys.argv[0] = 'mlx_lm'; runpy.run_module('mlx_lm', run_name='__main__')",
)


def stock_fuse(base: Path, adapter: Path, out: Path, start: Sequence[str] = AS_INSTALLED) -> list[str]:
    """``mlx_lm fuse --dequantize``, which writes the fused floats."""
    return [
        *start,
        "fuse",
        "--model",
        f"{base}",
        "--adapter-path",
        f"{adapter}",
        "--save-path",
        f"{out}",
        "--dequantize",
    ]


def stock_convert(
    floats: Path, bits: int, group_size: int, out: Path, start: Sequence[str] = AS_INSTALLED
) -> list[str]:
    """``mlx_lm convert -q`` of a folder of floats to one width."""
    width = ["--q-bits", f"{bits}", "--q-group-size", f"{group_size}"]
    return [*start, "convert", "--hf-path", f"{floats}", "--mlx-path", f"{out}", "-q", *width]
