"""The commands of stock mlx-lm that ours are compared with, for processes of their own."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

AS_INSTALLED = (sys.executable, "-m", "mlx_lm")
# The last bit of a delta depends on who multiplies: with our engine imported first, both sides use the same BLAS.
SAME_BLAS = (
    sys.executable,
    "-c",
    "import runpy, sys, phase8.engine; sys.argv[0] = 'mlx_lm'; runpy.run_module('mlx_lm', run_name='__main__')",
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


_SEVERAL = """
import ctypes, json, runpy, sys
library, commands = json.loads(sys.argv[1])
if library:
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
for command in commands:
    sys.argv = ["mlx_lm", *command]
    runpy.run_module("mlx_lm", run_name="__main__", alter_sys=True)
"""


def stock_session(library: str | None, commands: Sequence[Sequence[str]]) -> list[str]:
    """One process for several commands of stock mlx-lm, on the BLAS of this file; on MLX's own where there is none.

    Args:
        library: the path or name of a BLAS to load before MLX.
        commands: as ``stock_fuse`` and ``stock_convert`` give them with an empty start.
    """
    return [sys.executable, "-c", _SEVERAL, json.dumps([library, [list(command) for command in commands]])]
