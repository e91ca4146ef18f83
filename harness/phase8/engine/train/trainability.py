"""Can this machine train this profile? Five iterations in a fresh process, the longest batch among them.

Run as ``python -m phase8.engine.train.trainability SPEC`` by ``probe``, which descends the ladder.
"""

import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.tuner.trainer import TrainingArgs
from mlx_lm.tuner.trainer import train as mlx_lm_train

from phase8.core.errors import InvalidInput
from phase8.core.machine import GB
from phase8.engine.cpu import batch_parts, keep_freed_memory, threads_for, uncompiled
from phase8.engine.load.chat import Row
from phase8.engine.timing.memory import process_peak
from phase8.engine.train.batches import batch_order, to_arrays
from phase8.engine.train.lora import load_trainable
from phase8.engine.train.loss import assistant_loss
from phase8.profile.sections import Training
from phase8.quant.memory_fallbacks import Rung, ladder
from phase8.record.run import ProbeRecord

ITERATIONS = 5


def probe(base: Path, training: Training, rows: list[Row], out: Path) -> None:
    """Find the first rung whose measured peak is under the profile's ceiling; write ``probe.json``.

    Raises:
        InvalidInput: no rung fits.
    """
    attempts = []
    ceiling = int(training.peak_ceiling_gb * GB)
    for rung in ladder(training):
        peak, trouble = _attempt(base, training, rung, rows, out)
        if trouble is None and peak <= ceiling:
            record = ProbeRecord(rung=rung.name, peak_bytes=peak, ceiling_bytes=ceiling, attempts=tuple(attempts))
            (out / "probe.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
            (out / "rung.json").write_text(rung.model_dump_json(), encoding="utf-8")
            return
        attempts.append(
            f"{rung.name}: {trouble or f'peak {peak / GB:.2f} GB over the ceiling of {ceiling / GB:.2f} GB'}"
        )
    raise InvalidInput(
        "training does not fit on this machine:\n  "
        + "\n  ".join(attempts)
        + "\nRaise training.peak_ceiling_gb if the machine has more, or shorten the rows."
    )


def _attempt(base: Path, training: Training, rung: Rung, rows: list[Row], out: Path) -> tuple[int, str | None]:
    """The peak in bytes of one rung, and what went wrong if something did."""
    order = batch_order(rows, rung.batch_size)
    chosen = [order[-1], *order[:: max(1, len(order) // ITERATIONS)]][:ITERATIONS]
    spec = {
        "base": str(base),
        "training": training.model_dump(),
        "rung": rung.model_dump(),
        "batches": [[[rows[i].tokens, rows[i].assistant] for i in batch] for batch in chosen],
    }
    path = out / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "phase8.engine.train.trainability", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    path.unlink()
    if ran.returncode < 0:
        return 0, f"killed by signal {-ran.returncode}, as the system does when memory runs out"
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        if "memory" not in last.lower() and "alloc" not in last.lower():
            raise InvalidInput(f"the probe failed for another reason than memory:\n{ran.stderr[-1500:]}")
        return 0, last
    return int(ran.stdout.strip().splitlines()[-1]), None


def main() -> None:
    """Train five iterations as the spec says and print the peak memory in bytes."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    training, rung = Training.model_validate(spec["training"]), Rung.model_validate(spec["rung"])
    batches = [[Row(tuple(tokens), tuple(mask)) for tokens, mask in batch] for batch in spec["batches"]]
    while len(batches) < ITERATIONS:
        batches.append(batches[0])
    keep_freed_memory()
    model: nn.Module = load_trainable(Path(spec["base"]), training, rung)
    optimizer = optim.Adam(learning_rate=training.learning_rate)
    args = TrainingArgs(
        batch_size=rung.batch_size,
        iters=ITERATIONS,
        steps_per_save=ITERATIONS + 1,
        adapter_file=str(Path(sys.argv[1]).with_suffix(".safetensors")),
        grad_checkpoint=rung.grad_checkpoint,
        grad_accumulation_steps=rung.accumulation,
    )
    parts = batch_parts(model)
    with threads_for(model), uncompiled():
        mlx_lm_train(
            model,
            optimizer,
            batches,
            args=args,
            loss=assistant_loss(model),
            iterate_batches=lambda **_: (to_arrays(batch, parts) for batch in batches),
        )
    Path(args.adapter_file).unlink()
    peak = mx.get_peak_memory()
    print(max(peak, process_peak()[0]) if mx.default_device() == mx.cpu else peak)


if __name__ == "__main__":
    main()
