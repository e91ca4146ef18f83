"""One side of the training benchmark, run as a script: times one training step for every line it is sent.

``stock`` imports MLX as any user of mlx-lm does and nothing of ours; ``ours`` imports
the engine first, which loads the fast BLAS, dequantises the base in memory, and trains
as ``engine/train/lora.py`` does: compiled on a GPU only, threads and memory as there. LoRA
layers, optimiser and batch are the same on both sides, and so is the value of the loss;
ours computes it as the harness does, from logits of the marked positions alone.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

SIDE = sys.argv[1]
if SIDE == "ours":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from phase8.engine.cpu import keep_freed_memory, threads_for, uncompiled
    from phase8.engine.load.models import dequantise
    from phase8.engine.train.loss import assistant_loss

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model


def masked_loss(model: nn.Module, tokens: mx.array, mask: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:
    """Mean cross-entropy over the marked targets, and their number, as mlx-lm's own loss computes it."""
    losses = nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:]) * mask
    return losses.sum() / mask.sum(), mask.sum()


def prepare(spec: dict[str, Any], contexts: ExitStack) -> Callable[[], None]:
    """One optimiser step on the spec's batch, as mlx-lm's trainer takes it; ``contexts`` hold while steps are taken."""
    training = spec["training"]
    model, _ = load_model(Path(spec["base"]))
    if SIDE == "ours":
        keep_freed_memory()
        dequantise(model)
        contexts.enter_context(threads_for(model))
        contexts.enter_context(uncompiled())
    model.freeze()
    mx.random.seed(training["seed"])
    linear_to_lora_layers(model, training["layers"], {k: training[k] for k in ("rank", "scale", "dropout")})
    mx.eval(model.parameters())
    model.train()
    optimizer = optim.Adam(learning_rate=training["learning_rate"])
    batch = tuple(mx.array(spec[name]) for name in ("tokens", "mask", "where"))
    value_and_grad = nn.value_and_grad(model, assistant_loss(model) if SIDE == "ours" else masked_loss)
    state = [model.state, optimizer.state, mx.random.state]

    @partial(mx.compile, inputs=state, outputs=state)
    def compiled(*batch: mx.array) -> mx.array:
        (value, _), gradients = value_and_grad(model, *batch)
        optimizer.update(model, gradients)
        return value

    return lambda: mx.eval(state, compiled(*batch))


def main() -> None:
    """Read a spec, take one step to warm up, then answer every line with the seconds of one step."""
    with ExitStack() as contexts:
        step = prepare(json.loads(sys.stdin.readline()), contexts)
        step()
        for _ in sys.stdin:
            start = time.perf_counter()
            step()
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
