"""Side by side with stock mlx-lm: one fused model at four widths, from the 4-bit base to finished folders.

Stock is ``mlx_lm fuse --dequantize``, then ``mlx_lm convert -q`` for each width, as a user types
them; ours is one pass. Sides take turns, every command in a fresh process, imports included.
Peak memory is the largest resident set of any of a side's processes, as the system accounts it.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console

from phase8.core.artefact import Step
from phase8.core.errors import InvalidInput
from phase8.core.machine import GB, disk_free_gb
from phase8.core.project import ROOT
from phase8.core.store import Store, size_on_disk
from phase8.core.values import Frozen
from phase8.profile.terms import Recipe
from phase8.proofs.bench.train import paired_ratio
from phase8.proofs.mlx_lm_cli import stock_convert, stock_fuse
from phase8.quant.synthetic import layers_of

BITS = (4, 5, 6, 8)
GROUP_SIZE = 64
_STOCK_BYTES = 2 + sum(bits + 0.5 for bits in BITS) / 8  # a parameter: the float copy and the four widths

# The system counts the starting process into the peak of what it starts, so that one has to be small.
_LAUNCHER = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status if status >= 0 else 128 - status)
"""


class Cost(Frozen):
    """What one side took: seconds, the peak of its largest process, bytes on disk when it was done."""

    seconds: float
    peak_bytes: int
    written_bytes: int

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, peak {self.peak_bytes / GB:.2f} GB, {self.written_bytes / GB:.2f} GB written"


def bench_fuse(store: Store, parameters: float, rounds: int, recipes: Sequence[Recipe], console: Console) -> int:
    """Measure both sides at ``parameters``, then each once at twice the size, and print the ratios."""
    _require_size(parameters)
    small, large = (_synthetic(store, size) for size in (parameters, 2 * parameters))
    _require_disk(store, parameters)
    folder = store.ensure(small)
    console.print(
        f"synthetic qwen3_moe, {small.inputs['layers']} layers, {parameters / 1e9:.2g} B parameters at 4 bits "
        f"({size_on_disk(folder) / GB:.2f} GB with its adapter); widths {', '.join(map(str, BITS))}\n"
        f"stock: mlx_lm fuse --dequantize, mlx_lm convert -q for each width\n"
        f"ours:  one pass, recipe {' and '.join(recipes)}",
        highlight=False,
    )
    sides = ["stock", *recipes]
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            costs[side].append(_measure(side, folder, store))
            console.print(f"round {number + 1} of {rounds}: {side}: {costs[side][-1]}", highlight=False)
    folder = store.ensure(large)
    twice = {}
    for side in sides:
        twice[side] = _measure(side, folder, store)
        console.print(f"twice the size ({large.inputs['layers']} layers): {side}: {twice[side]}", highlight=False)
    for line in _summary(costs, twice, recipes):
        console.print(line, highlight=False)
    return 0


def _summary(costs: dict[str, list[Cost]], twice: dict[str, Cost], recipes: Sequence[Recipe]) -> list[str]:
    """The closing lines: ratios ours over stock, and how each grows when the model doubles."""
    lines = []
    for side, held in costs.items():
        first = held[0]
        smallest = min(cost.peak_bytes for cost in held)
        lines.append(
            f"{side}: {first.written_bytes / GB:.2f} GB written; twice the size: "
            f"peak x {twice[side].peak_bytes / smallest:.2f}, written x "
            f"{twice[side].written_bytes / first.written_bytes:.2f}"
        )
    for recipe in recipes:
        for name, quantity in (("wall", "seconds"), ("peak", "peak_bytes")):
            ours, stock = ([getattr(cost, quantity) for cost in costs[side]] for side in (recipe, "stock"))
            found = paired_ratio(ours, stock)
            lines.append(
                f"recipe {recipe}: {name} ratio {found.value:.2f} ({found.low:.2f}-{found.high:.2f}, n={found.rounds})"
            )
    return lines


def _synthetic(store: Store, parameters: float) -> Step:
    """The synthetic base and adapter of a size, as an artefact."""

    def make(out: Path) -> None:
        _run([sys.executable, "-m", "phase8.engine.synthetic", str(layers), str(out)])

    layers = layers_of(parameters)
    inputs = {"layers": layers, "mlx": metadata.version("mlx"), "mlx-lm": metadata.version("mlx-lm")}
    return Step("synthetic", 1, inputs, make, disk_gb=parameters * 0.7 / GB)


def _measure(side: str, model: Path, store: Store) -> Cost:
    """Run one side into a folder of its own, which is deleted afterwards."""
    with store.workspace("bench") as out:
        started = time.perf_counter()
        peak = max(_run(command) for command in _commands(side, model, out))
        seconds = time.perf_counter() - started
        return Cost(seconds=seconds, peak_bytes=peak, written_bytes=size_on_disk(out))


def _commands(side: str, model: Path, out: Path) -> list[list[str]]:
    """The command lines of one side."""
    if side != "stock":
        targets = [[bits, GROUP_SIZE, side, str(out / str(bits))] for bits in BITS]
        spec = {"base": str(model / "base"), "adapter": str(model / "adapter"), "targets": targets}
        return [[sys.executable, "-m", "phase8.engine.fuse.fuse", json.dumps(spec)]]
    floats = out / "float"
    quantise = [stock_convert(floats, bits, GROUP_SIZE, out / str(bits)) for bits in BITS]
    return [stock_fuse(model / "base", model / "adapter", floats), *quantise]


def _run(command: list[str]) -> int:
    """Run a command to its end; the peak of its resident set in bytes.

    Raises:
        RuntimeError: it failed; the end of its output is in the message.
    """
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    ran = subprocess.run(launched, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    output, _, peak = ran.stdout.rstrip().rpartition("\n")
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {ran.returncode}:\n{output[-1500:]}")
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


def _require_size(parameters: float) -> None:
    if not 0 < parameters < math.inf:  # NaN is not either
        raise InvalidInput(f"--parameters is {parameters}; a positive number is needed, such as 1.3e9")


def _require_disk(store: Store, parameters: float) -> None:
    """Refuse before the first gigabyte what the larger of the two sizes will not have room for."""
    needed = (3 * 0.7 + 2 * _STOCK_BYTES) * parameters / GB
    if needed > (free := disk_free_gb(store.root)):
        raise InvalidInput(
            f"bench fuse: needs {needed:.0f} GB of disk below {store.root}, {free:.0f} GB are free. "
            "Choose fewer --parameters or another --build"
        )
