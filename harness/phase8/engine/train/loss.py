"""The training loss: every assistant token and nothing else.

The vocabulary is far wider than a hidden state (49,152 against 576 in SmolLM2), and on
the embedded profiles more than half of the positions are system prompt, query and
padding. Logits are therefore computed for the marked positions alone, where the model
can be parted into body and head.
"""

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import mlx.core as mx
import mlx.nn as nn

Loss = Callable[..., tuple[mx.array, mx.array]]
_PartLoss = Callable[[nn.Module, mx.array, mx.array, mx.array], tuple[mx.array, mx.array]]


def assistant_loss(model: nn.Module) -> Loss:
    """The loss function for ``model``, as mlx-lm's trainer takes it, for batches of ``batches.to_arrays``.

    It gives the mean cross-entropy in nats over the marked targets, and their number. The parts of a batch are
    computed on streams of their own, which on a CPU are threads.
    """
    return _side_by_side(_loss_of_marked if can_be_parted(model) else _loss_of_all)


def can_be_parted(model: nn.Module) -> bool:
    """Whether body and head, called apart, give the model's own logits; tried out on four tokens."""
    tokens = mx.array([[1, 2, 3, 4]])
    try:
        apart = _head(model, _body(model, tokens))
    except (AttributeError, TypeError, ValueError):
        return False
    whole = model(tokens)
    return apart.shape == whole.shape and bool(mx.allclose(apart, whole, rtol=1e-4, atol=1e-4).item())


def _body(model: Any, tokens: mx.array) -> mx.array:
    """Hidden states (B, L, D) after the last norm."""
    return model.model(tokens)


def _head(model: Any, hidden: mx.array) -> mx.array:
    """Logits of hidden states, by the output layer or by tied embeddings."""
    return model.lm_head(hidden) if "lm_head" in model else model.model.embed_tokens.as_linear(hidden)


def _loss_of_marked(model: nn.Module, tokens: mx.array, mask: mx.array, where: mx.array) -> tuple[mx.array, mx.array]:
    hidden = _body(model, tokens[:, :-1])
    logits = _head(model, hidden.reshape(-1, hidden.shape[-1])[where])
    return _sum(logits, tokens[:, 1:].reshape(-1)[where], mask.reshape(-1)[where] * (where >= 0))


def _loss_of_all(model: nn.Module, tokens: mx.array, mask: mx.array, where: mx.array) -> tuple[mx.array, mx.array]:
    return _sum(model(tokens[:, :-1]), tokens[:, 1:], mask)


def _sum(logits: mx.array, targets: mx.array, weights: mx.array) -> tuple[mx.array, mx.array]:
    losses = nn.losses.cross_entropy(logits, targets) * weights
    return losses.astype(mx.float32).sum(), weights.sum()


def _side_by_side(part_loss: _PartLoss) -> Loss:
    """The mean over all parts of a batch."""

    def loss(model: nn.Module, *batch: mx.array) -> tuple[mx.array, mx.array]:
        parts = [batch[i : i + 3] for i in range(0, len(batch), 3)]
        found = []
        for part, stream in zip(parts, _streams(len(parts)), strict=True):
            with mx.stream(stream):
                found.append(part_loss(model, *part))
        total, count = (reduce(mx.add, values) for values in zip(*found, strict=True))
        return total / count, count

    return loss


@cache
def _streams(count: int) -> tuple[mx.Stream, ...]:
    """That many streams of the default device, the same ones every time."""
    device = mx.default_device()
    return (mx.default_stream(device), *(mx.new_stream(device) for _ in range(count - 1)))
