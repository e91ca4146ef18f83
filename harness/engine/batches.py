"""Training batches and the loss: every assistant token and nothing else, from any point of the run."""

from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from harness.engine.chat import Row
from harness.errors import InvalidInput

PAD_TO = 16


def batch_order(rows: list[Row], batch_size: int) -> list[list[int]]:
    """Rows of similar length together, so that little is padded; a last incomplete batch is left out.

    Raises:
        InvalidInput: fewer rows than one batch holds.
    """
    if len(rows) < batch_size:
        raise InvalidInput(f"{len(rows)} rows do not fill one batch of {batch_size}. Add rows or lower the batch size.")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].tokens))
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def to_arrays(rows: list[Row]) -> tuple[mx.array, mx.array]:
    """Token ids (B, L) and, for each target token, 1.0 where an assistant wrote it (B, L - 1)."""
    longest = max(len(row.tokens) for row in rows)
    length = 1 + PAD_TO * -(-(longest - 1) // PAD_TO)
    tokens = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), np.float32)
    for i, row in enumerate(rows):
        tokens[i, : len(row.tokens)] = row.tokens
        mask[i, : len(row.tokens)] = row.assistant
    return mx.array(tokens), mx.array(mask[:, 1:])


def shuffled(rows: list[Row], batch_size: int, seed: int, start: int) -> Iterator[tuple[mx.array, mx.array]]:
    """Endless batches, reshuffled every epoch, from step ``start`` on.

    The order depends on seed and epoch alone, so the batch cursor is one number.

    Raises:
        InvalidInput: fewer rows than one batch holds.
    """
    step = start
    while True:
        epoch, position = divmod(step, len(batch_order(rows, batch_size)))
        for batch in _epoch(rows, batch_size, np.random.default_rng([seed, epoch]))[position:]:
            yield to_arrays([rows[i] for i in batch])
            step += 1


def _epoch(rows: list[Row], batch_size: int, rng: np.random.Generator) -> list[list[int]]:
    """Rows in random order, whatever their length.

    Batches of one length, as mlx-lm makes them, pad less, but rows of one length are also
    of one kind: measured on ``pocket``'s base, its loss after as many steps was 2.8, not 1.8.
    """
    order = [int(i) for i in rng.permutation(len(rows))]
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def in_order(rows: list[Row], batch_size: int) -> Iterator[tuple[mx.array, mx.array]]:
    """Each batch once, for validation."""
    for batch in batch_order(rows, batch_size):
        yield to_arrays([rows[j] for j in batch])


def assistant_loss(model: nn.Module, tokens: mx.array, mask: mx.array) -> tuple[mx.array, mx.array]:
    """Mean cross-entropy in nats over the marked targets, and their number."""
    logits = model(tokens[:, :-1])
    count = mask.sum()
    losses = nn.losses.cross_entropy(logits, tokens[:, 1:]) * mask
    return losses.astype(mx.float32).sum() / count, count
