"""MLX's arrays under the types that they really have, where its stubs say less."""

from pathlib import Path
from typing import Any, NamedTuple, cast

import mlx.core as mx
from mlx.utils import tree_flatten


class Stored(NamedTuple):
    """What a safetensors or GGUF file holds: arrays by name, and its metadata."""

    arrays: dict[str, mx.array]
    metadata: dict[str, Any]


def load_arrays(path: Path) -> Stored:
    """The arrays of a safetensors or GGUF file, not yet in memory, and its metadata."""
    loaded = mx.load(str(path), return_metadata=True)
    # The stub has one union for every format and flag.
    return Stored(*cast("tuple[dict[str, mx.array], dict[str, Any]]", loaded))


def named_arrays(tree: Any) -> dict[str, mx.array]:
    """The arrays of a tree of parameters by their dotted names, in the order of the tree."""
    return dict(tree_flatten(tree))


def to_ints(vector: mx.array) -> list[int]:
    """A vector of integers, shape (N,), as Python's."""
    return cast("list[int]", vector.tolist())  # the stub has one union for every shape and dtype
