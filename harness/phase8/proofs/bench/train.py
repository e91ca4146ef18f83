"""Side by side with stock mlx-lm: training speed on the same rows and the same loss, interleaved in one run.

Two workers stay alive and take turns, one with stock mlx-lm as installed (its LoRA on
the quantised base, the BLAS its wheel links), one with ours. Loading and compiling are
not counted; each round times one optimiser step of each on the same batch.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console

from phase8.core.values import Frozen
from phase8.stages.flow import Flow

SIDES = ("stock", "ours")


class Ratio(Frozen):
    """A geometric mean of paired ratios with its 95 % Student t interval on the logarithms."""

    value: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return f"ratio {self.value:.1f} ({self.low:.1f}-{self.high:.1f}, n={self.rounds})"


def paired_ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """How many times longer ``slow`` takes than ``fast``, round by round.

    Raises:
        ValueError: fewer than two rounds, or sides of different length.
    """
    from scipy.stats import t

    logs = [math.log(a / b) for a, b in zip(slow, fast, strict=True)]
    if len(logs) < 2:
        raise ValueError(f"an interval needs at least two rounds, got {len(logs)}")
    half = float(t.ppf(0.975, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    centre = mean(logs)
    return Ratio(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half), rounds=len(logs))


def bench_train(flow: Flow, rounds: int, console: Console) -> int:
    """Time one training step of each side a round and print tokens a second and the ratio."""
    spec, tokens = _spec(flow)
    console.print(
        f"profile {flow.profile.name}: one LoRA step a round on the same batch of {tokens} tokens\n"
        "stock: mlx-lm's LoRA on the quantised base, with the BLAS its wheel links\n"
        "ours:  the same layers on the base dequantised in memory, with the fast BLAS",
        highlight=False,
    )
    workers = {side: _start(side, spec) for side in SIDES}
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    try:
        for number in range(rounds):
            for side in SIDES if number % 2 == 0 else SIDES[::-1]:
                times[side].append(_step_seconds(workers[side]))
            line = ", ".join(f"{side} {tokens / times[side][-1]:.1f} tokens/s" for side in SIDES)
            console.print(f"round {number + 1} of {rounds}: {line}", highlight=False)
    finally:
        for worker in workers.values():
            worker.kill()
    console.print(str(paired_ratio(times["stock"], times["ours"])), highlight=False)
    return 0


def _spec(flow: Flow) -> tuple[dict, int]:
    """What both workers are given, with the batch of median length, and the tokens a step reads."""
    from phase8.engine.load.rows import read_split
    from phase8.engine.train.batches import batch_order, to_arrays

    training = flow.profile.training
    assert training is not None
    base = flow.path(flow.base)
    rows = read_split(base, flow.path(flow.corpus) / "train.jsonl", flow.profile.prompting)
    order = batch_order(rows, training.batch_size)
    batch = to_arrays([rows[i] for i in order[len(order) // 2]])
    arrays = {name: array.tolist() for name, array in zip(("tokens", "mask", "where"), batch, strict=True)}
    return {"base": str(base), "training": training.model_dump(), **arrays}, batch[1].size


def _start(side: str, spec: dict) -> subprocess.Popen:
    worker = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("worker.py")), side],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _send(worker, json.dumps(spec))
    return worker


def _step_seconds(worker: subprocess.Popen) -> float:
    assert worker.stdout is not None
    _send(worker, "step")
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"a benchmark worker ended with {worker.wait()}; its message is above")
    return float(json.loads(line)["seconds"])


def _send(worker: subprocess.Popen, line: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(line + "\n")
    worker.stdin.flush()
