"""Training batches in a fixed random order, from any point of the run."""

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from phase8.core.errors import InvalidInput
from phase8.engine.load.chat import Row

PAD_TO = 16
Batch = tuple[mx.array, ...]  # three arrays a part


def batch_order(rows: list[Row], batch_size: int) -> list[list[int]]:
    """Rows of similar length together, so that little is padded; a last incomplete batch is left out.

    Raises:
        InvalidInput: fewer rows than one batch holds.
    """
    if len(rows) < batch_size:
        raise InvalidInput(f"{len(rows)} rows do not fill one batch of {batch_size}. Add rows or lower the batch size.")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].tokens))
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def to_arrays(rows: list[Row], parts: int = 1) -> Batch:
    """Three arrays for each part of a batch: token ids (B, L), marks of the targets (B, L - 1), and their places (N,).

    A mark is 1.0 where an assistant wrote the target token. The places are those of the marked targets among the
    part's, row by row, filled up with -1 to a quarter, half, three quarters or all of the targets, so that few
    different shapes are compiled.

    Args:
        rows: the batch.
        parts: 1, or 2 for the shorter and the longer rows apart.
    """
    if parts == 1 or len(rows) == 1:
        return _part(rows)
    shorter, longer = _halves(rows)
    return (*_part(shorter), *_part(longer))


def _halves(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The shorter and the longer rows, parted where the larger half has the fewest places, padding included."""
    ordered = sorted(rows, key=lambda row: len(row.tokens))
    longest = len(ordered[-1].tokens)
    costs = [max(i * len(ordered[i - 1].tokens), (len(ordered) - i) * longest) for i in range(1, len(ordered))]
    split = 1 + costs.index(min(costs))
    return ordered[:split], ordered[split:]


def _part(rows: list[Row]) -> tuple[mx.array, mx.array, mx.array]:
    longest = max(len(row.tokens) for row in rows)
    length = 1 + PAD_TO * -(-(longest - 1) // PAD_TO)
    tokens = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), np.float32)
    for i, row in enumerate(rows):
        tokens[i, : len(row.tokens)] = row.tokens
        mask[i, : len(row.tokens)] = row.assistant
    marked = np.flatnonzero(mask[:, 1:])
    quarter = -(-mask[:, 1:].size // 4)
    where = np.full(quarter * -(-len(marked) // quarter), -1, np.int32)
    where[: len(marked)] = marked
    return mx.array(tokens), mx.array(mask[:, 1:]), mx.array(where)


def shuffled(rows: list[Row], batch_size: int, seed: int, start: int, parts: int = 1) -> Iterator[Batch]:
    """Endless batches, reshuffled every epoch, from step ``start`` on.

    The order depends on seed and epoch alone, so the batch cursor is one number.

    Raises:
        InvalidInput: fewer rows than one batch holds.
    """
    step = start
    while True:
        epoch, position = divmod(step, len(batch_order(rows, batch_size)))
        for batch in _epoch(rows, batch_size, np.random.default_rng([seed, epoch]))[position:]:
            yield to_arrays([rows[i] for i in batch], parts)
            step += 1


def _epoch(rows: list[Row], batch_size: int, rng: np.random.Generator) -> list[list[int]]:
    """Rows in random order, whatever their length.

    Batches of one length, as mlx-lm makes them, pad less, but rows of one length are also
    of one kind: measured on ``pocket``'s base, its loss after as many steps was 2.8, not 1.8.
    """
    order = [int(i) for i in rng.permutation(len(rows))]
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def in_order(rows: list[Row], batch_size: int) -> Iterator[Batch]:
    """Each batch once, for validation."""
    for batch in batch_order(rows, batch_size):
        yield to_arrays([rows[j] for j in batch])
