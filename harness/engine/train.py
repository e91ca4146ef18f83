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
from collections.abc import Callable, Iterator, Sequence
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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.engine.arrays import load_arrays, named_arrays
from harness.engine.batches import assistant_loss, in_order, shuffled
from harness.engine.chat import Row
from harness.engine.models import dequantise, read_model
from harness.errors import InvalidInput
from harness.ladder import Rung
from harness.machine import has_fast_quantised_kernels
from harness.profile import Training
from harness.record import TrainingRecord

REPORT_EVERY = 10
VALID_ROWS = 16  # a validation loss of the whole split would cost a fifth of the training time on a CPU
STATE = "state.safetensors"


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


def trained_modules(model: nn.Module) -> tuple[str, ...]:
    """The modules inside a block that LoRA reaches, by name, for example ``self_attn.q_proj``."""
    names = {name.rsplit(".", 1)[0] for name in named_arrays(model.trainable_parameters())}
    return tuple(sorted({name.split(".", 3)[3] if name.startswith("model.layers.") else name for name in names}))


def train_adapter(base: Path, training: Training, rung: Rung, rows: list[Row], valid: list[Row], out: Path) -> None:
    """Train, or go on training, into ``out``: an adapter folder in mlx-lm's format and ``training.json``."""
    model = load_trainable(base, training, rung)
    optimizer = optim.Adam(learning_rate=training.learning_rate)
    optimizer.init(model.trainable_parameters())
    done, curves = _restore(out, model, optimizer)
    config = {
        "fine_tune_type": "lora",
        "num_layers": rung.layers,
        "lora_parameters": lora_parameters(training),
        "optimizer": "adam",
        "learning_rate": training.learning_rate,
        "batch_size": rung.batch_size,
        "grad_accumulation_steps": rung.accumulation,
        "iters": training.iterations,
        "seed": training.seed,
    }
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    valid_rows = valid[:: max(1, len(valid) // VALID_ROWS)][:VALID_ROWS]
    resumed_at = done
    with _progress() as bar:
        task = bar.add_task(
            "training", total=training.iterations * rung.accumulation, completed=done * rung.accumulation
        )
        while done < training.iterations:
            started = time.monotonic()
            seen = _segment(
                model,
                optimizer,
                training,
                rung,
                rows,
                done,
                out,
                curves,
                lambda: bar.advance(task),
                first=done == resumed_at,
            )
            curves["seconds"] += time.monotonic() - started
            curves["tokens"] += seen
            done += training.checkpoint_every
            curves["valid"].append((done, _valid_loss(model, valid_rows, rung.batch_size)))
            _checkpoint(out, done, model, optimizer, curves)
    record = TrainingRecord(
        rung=rung.name,
        iterations=training.iterations,
        trainable_parameters=sum(v.size for v in named_arrays(model.trainable_parameters()).values()),
        modules=trained_modules(model),
        train_loss=tuple(curves["train"]),
        valid_loss=tuple(curves["valid"]),
        tokens_per_second=round(curves["tokens"] / curves["seconds"], 1),
        peak_bytes=mx.get_peak_memory(),
    )
    (out / "training.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
    (out / STATE).unlink(missing_ok=True)


class _Curve(TrainingCallback):
    """Collects (iteration, mean loss in nats) from mlx-lm's reports."""

    def __init__(self, points: list[tuple[int, float]], done: int, accumulation: int) -> None:
        self.points, self.done, self.accumulation = points, done, accumulation

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        self.points.append((self.done + train_info["iteration"] // self.accumulation, train_info["train_loss"]))


def _segment(
    model: nn.Module,
    optimizer: optim.Optimizer,
    training: Training,
    rung: Rung,
    rows: list[Row],
    done: int,
    out: Path,
    curves: dict[str, Any],
    advance: Callable[[], None],
    *,
    first: bool,
) -> int:
    """Train from ``done`` to the next checkpoint with mlx-lm's trainer; the tokens put through, padding included."""
    seen = 0

    def batches(**_: Any) -> Iterator[tuple[mx.array, mx.array]]:
        nonlocal seen
        for tokens, mask in shuffled(rows, rung.batch_size, training.seed, done * rung.accumulation):
            seen += tokens.size
            advance()
            yield tokens, mask

    args = TrainingArgs(
        batch_size=rung.batch_size,
        iters=training.checkpoint_every * rung.accumulation,
        steps_per_report=REPORT_EVERY * rung.accumulation,
        steps_per_save=training.iterations * rung.accumulation + 1,
        adapter_file=str(out / "adapters.safetensors"),
        grad_checkpoint=rung.grad_checkpoint and first,  # mlx-lm wraps the layer's class: once a process
        grad_accumulation_steps=rung.accumulation,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # its own bars start anew with every segment
        mlx_lm_train(
            model,
            optimizer,
            rows,
            args=args,
            loss=assistant_loss,
            iterate_batches=batches,
            training_callback=_Curve(curves["train"], done, rung.accumulation),
        )
    return seen


def _valid_loss(model: nn.Module, rows: list[Row], batch_size: int) -> float:
    """Mean loss in nats an assistant token; refuses a diverged run, whose adapter would be useless."""
    loss = evaluate(
        model,
        rows,
        batch_size,
        num_batches=-1,
        loss=assistant_loss,
        iterate_batches=lambda **_: in_order(rows, batch_size),
    )
    model.train()
    if not math.isfinite(loss):
        raise InvalidInput(
            f"training diverged: validation loss is {loss}. Lower training.learning_rate or training.scale"
        )
    return round(float(loss), 4)


def _checkpoint(out: Path, done: int, model: nn.Module, optimizer: optim.Optimizer, curves: dict[str, Any]) -> None:
    """Write the numbered adapter as mlx-lm does, then everything a resumed run needs, in one rename."""
    adapter = named_arrays(model.trainable_parameters())
    mx.save_safetensors(str(out / f"{done:07d}_adapters.safetensors"), adapter)
    state = {f"adapter.{name}": value for name, value in adapter.items()}
    state |= {f"optimizer.{name}": value for name, value in named_arrays(optimizer.state).items()}
    state |= {f"random.{i}": value for i, value in enumerate(_random_state())}
    temporary = out / f"next-{STATE}"
    mx.save_safetensors(str(temporary), state, metadata={"done": str(done), "curves": json.dumps(curves)})
    os.replace(temporary, out / STATE)


def _restore(out: Path, model: nn.Module, optimizer: optim.Optimizer) -> tuple[int, dict[str, Any]]:
    """Load the last checkpoint in ``out``, if there is one; the iterations done and the curves so far."""
    if not (out / STATE).exists():
        return 0, {"train": [], "valid": [], "seconds": 0.0, "tokens": 0}
    arrays, meta = load_arrays(out / STATE)
    state: dict[str, dict[str, mx.array]] = {"adapter": {}, "optimizer": {}, "random": {}}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        state[part][rest] = value
    model.load_weights(list(state["adapter"].items()), strict=False)
    optimizer.state = tree_unflatten(list(state["optimizer"].items()))
    for i, value in enumerate(_random_state()):
        value[:] = state["random"][str(i)]
    mx.eval(model.parameters(), optimizer.state)
    return int(meta["done"]), json.loads(meta["curves"])


def _random_state() -> Sequence[mx.array]:
    """MLX's global random state; its items cannot be replaced, but their values can be written in place."""
    return cast("Sequence[mx.array]", mx.random.state)  # the stub says object


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True))
