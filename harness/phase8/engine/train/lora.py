"""Train one LoRA adapter with mlx-lm's layers and trainer, in segments that survive a kill.

mlx-lm's trainer keeps no optimiser state. It is called for one segment at a time,
each from checkpoint to checkpoint; between segments everything that the next one
depends on is written: adapter, optimiser, random state and batch cursor. A run
that was killed goes on from there and ends with the same tensors.
"""

import contextlib
import io
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_unflatten
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.trainer import TrainingArgs, evaluate
from mlx_lm.tuner.trainer import train as mlx_lm_train
from mlx_lm.tuner.utils import linear_to_lora_layers

from phase8.core.errors import InvalidInput
from phase8.core.machine import has_fast_quantised_kernels
from phase8.core.progress import Report
from phase8.engine.arrays import load_arrays, named_arrays
from phase8.engine.cpu import batch_parts, keep_freed_memory, threads_for, uncompiled
from phase8.engine.load.chat import Row
from phase8.engine.load.models import dequantise, read_model
from phase8.engine.train.batches import Batch, in_order, shuffled
from phase8.engine.train.loss import Loss, assistant_loss
from phase8.engine.train.schedule import Schedule, cosine
from phase8.profile.sections import Training
from phase8.quant.memory_fallbacks import Rung
from phase8.record.run import TrainingRecord

REPORT_EVERY = 10
VALID_ROWS = 8  # a validation loss of the whole split would cost a fifth of the training time on a CPU
STATE = "state.safetensors"
_PROGRESS = ("done", "tokens", "seconds", "train_loss", "valid_loss")


def load_trainable(base: Path, training: Training, rung: Rung) -> nn.Module:
    """The base with fresh LoRA layers on its last ``rung.layers`` blocks, everything else frozen.

    On a device without fast quantised kernels the base is dequantised in memory first.
    """
    model = read_model(base)
    if not has_fast_quantised_kernels():
        dequantise(model)
    mx.eval(model.parameters())
    model.freeze()
    mx.random.seed(training.seed)
    linear_to_lora_layers(model, rung.layers, lora_parameters(training))
    mx.eval(model.parameters())
    return model


def lora_parameters(training: Training) -> dict[str, Any]:
    """The profile's LoRA settings under mlx-lm's names."""
    return {"rank": training.rank, "scale": training.scale, "dropout": training.dropout}


def learning_rate(training: Training) -> float | Schedule:
    """The rate that the optimiser takes: a number, or a function of the step."""
    rate = training.learning_rate
    return cosine(rate, training.iterations) if training.schedule == "cosine" else rate


def trained_modules(model: nn.Module) -> tuple[str, ...]:
    """The modules inside a block that LoRA reaches, by name, for example ``self_attn.q_proj``."""
    names = {name.rsplit(".", 1)[0] for name in named_arrays(model.trainable_parameters())}
    return tuple(sorted({name.split(".", 3)[3] if name.startswith("model.layers.") else name for name in names}))


@dataclass
class _Run:
    """One training in progress: what a checkpoint holds, and where it goes."""

    model: nn.Module
    loss: Loss
    optimizer: optim.Optimizer
    training: Training
    rung: Rung
    out: Path
    done: int = 0
    tokens: int = 0
    seconds: float = 0.0
    train_loss: list[tuple[int, float]] = field(default_factory=list)
    valid_loss: list[tuple[int, float]] = field(default_factory=list)


def train_adapter(base: Path, training: Training, rung: Rung, rows: list[Row], valid: list[Row], out: Path) -> None:
    """Train, or go on training, into ``out``: an adapter folder in mlx-lm's format and ``training.json``.

    Raises:
        InvalidInput: the base cannot be used, there are too few rows for a batch, or the loss is no number.
    """
    keep_freed_memory()
    model = load_trainable(base, training, rung)
    optimizer = optim.Adam(learning_rate=learning_rate(training))
    optimizer.init(model.trainable_parameters())
    run = _Run(model, assistant_loss(model), optimizer, training, rung, out)
    _restore(run)
    (out / "adapter_config.json").write_text(json.dumps(_adapter_config(training, rung), indent=1), encoding="utf-8")
    valid_rows = valid[:: max(1, len(valid) // VALID_ROWS)][:VALID_ROWS]
    resumed_at = run.done
    with Report(training.iterations, run.done) as report, threads_for(model), uncompiled():
        while run.done < training.iterations:
            _segment(run, rows, report, wrap=rung.grad_checkpoint and run.done == resumed_at)
            run.valid_loss.append((run.done, _valid_loss(run, valid_rows)))
            _checkpoint(run)
    record = TrainingRecord(
        rung=rung.name,
        iterations=training.iterations,
        trainable_parameters=sum(v.size for v in named_arrays(model.trainable_parameters()).values()),
        modules=trained_modules(model),
        train_loss=tuple(run.train_loss),
        valid_loss=tuple(run.valid_loss),
        tokens_per_second=round(run.tokens / run.seconds, 1),
        peak_bytes=mx.get_peak_memory(),
    )
    (out / "training.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
    (out / STATE).unlink(missing_ok=True)


def _adapter_config(training: Training, rung: Rung) -> dict[str, Any]:
    """What mlx-lm needs to load the adapter, and how it was trained."""
    return {
        "fine_tune_type": "lora",
        "num_layers": rung.layers,
        "lora_parameters": lora_parameters(training),
        "optimizer": "adam",
        "learning_rate": training.learning_rate,
        "schedule": training.schedule,
        "batch_size": rung.batch_size,
        "grad_accumulation_steps": rung.accumulation,
        "iters": training.iterations,
        "seed": training.seed,
    }


class _Curve(TrainingCallback):
    """Collects (iteration, mean loss in nats) from mlx-lm's reports."""

    def __init__(self, run: _Run, report: Report) -> None:
        self.run, self.report, self.start = run, report, run.done

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        iteration = self.start + train_info["iteration"] // self.run.rung.accumulation
        self.run.train_loss.append((iteration, train_info["train_loss"]))
        self.report.loss(iteration, train_info["train_loss"])


def _segment(run: _Run, rows: list[Row], report: Report, *, wrap: bool) -> None:
    """Train to the next checkpoint with mlx-lm's trainer; tokens put through are counted with their padding."""
    steps, size, seed = run.rung.accumulation, run.rung.batch_size, run.training.seed
    parts = batch_parts(run.model)
    started = time.monotonic()

    def batches(**_: Any) -> Iterator[Batch]:
        for number, batch in enumerate(shuffled(rows, size, seed, run.done * steps, parts)):
            run.tokens += sum(marks.size for marks in batch[1::3])
            report.iteration(run.done + number // steps)
            yield batch

    args = TrainingArgs(
        batch_size=size,
        iters=run.training.checkpoint_every * steps,
        steps_per_report=REPORT_EVERY * steps,
        steps_per_save=run.training.iterations * steps + 1,
        adapter_file=str(run.out / "adapters.safetensors"),
        grad_checkpoint=wrap,  # mlx-lm wraps the layer's class: once a process
        grad_accumulation_steps=steps,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # its own bars start anew with every segment
        mlx_lm_train(
            run.model,
            run.optimizer,
            rows,
            args=args,
            loss=run.loss,
            iterate_batches=batches,
            training_callback=_Curve(run, report),
        )
    run.seconds += time.monotonic() - started
    run.done += run.training.checkpoint_every
    report.iteration(run.done)


def _valid_loss(run: _Run, rows: list[Row]) -> float:
    """Mean loss in nats an assistant token; refuses a diverged run, whose adapter would be useless."""
    size = min(run.rung.batch_size, len(rows))
    loss = evaluate(
        run.model, rows, size, num_batches=-1, loss=run.loss, iterate_batches=lambda **_: in_order(rows, size)
    )
    run.model.train()
    if not math.isfinite(loss):
        raise InvalidInput(
            f"training diverged: validation loss is {loss}. Lower training.learning_rate or training.scale"
        )
    return round(float(loss), 4)


def _checkpoint(run: _Run) -> None:
    """Write the numbered adapter as mlx-lm does, then everything a resumed run needs, in one rename."""
    adapter = named_arrays(run.model.trainable_parameters())
    mx.save_safetensors(str(run.out / f"{run.done:07d}_adapters.safetensors"), adapter)
    state = {f"adapter.{name}": value for name, value in adapter.items()}
    state |= {f"optimizer.{name}": value for name, value in named_arrays(run.optimizer.state).items()}
    state |= {f"random.{i}": value for i, value in enumerate(_random_state())}
    progress = {name: getattr(run, name) for name in _PROGRESS}
    temporary = run.out / f"next-{STATE}"
    mx.save_safetensors(str(temporary), state, metadata={"progress": json.dumps(progress)})
    os.replace(temporary, run.out / STATE)


def _restore(run: _Run) -> None:
    """Go back to the last checkpoint in the run's folder, if there is one."""
    if not (run.out / STATE).exists():
        return
    arrays, meta = load_arrays(run.out / STATE)
    state: dict[str, dict[str, mx.array]] = {"adapter": {}, "optimizer": {}, "random": {}}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        state[part][rest] = value
    run.model.load_weights(list(state["adapter"].items()), strict=False)
    run.optimizer.state = tree_unflatten(list(state["optimizer"].items()))
    for i, value in enumerate(_random_state()):
        value[:] = state["random"][str(i)]
    mx.eval(run.model.parameters(), run.optimizer.state)
    for name, value in json.loads(meta["progress"]).items():
        setattr(run, name, value)


def _random_state() -> Sequence[mx.array]:
    """MLX's global random state; its items cannot be replaced, but their values can be written in place."""
    return cast("Sequence[mx.array]", mx.random.state)  # the stub says object
