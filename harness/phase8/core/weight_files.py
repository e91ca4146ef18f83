"""How large a model folder's weights are, by the headers of its files alone."""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_LONGEST_HEADER = 100_000_000  # bytes, as the safetensors library allows
_GROUP_SIZE = 64  # MLX's, where the config does not say


class Weights(NamedTuple):
    """How many weights a model has, and the bits that each takes, scales included."""

    parameters: float
    bits: float


def weights_of(folder: Path) -> Weights | None:
    """The weights of a model folder; None where there are none or their headers cannot be read.

    A header is JSON after its length in 8 bytes: https://github.com/huggingface/safetensors#format
    """
    files = sorted(path for path in folder.glob("model*.safetensors") if path.is_file())
    try:
        shapes = {name: tuple(said["shape"]) for path in files for name, said in _header(path)}
        groups = _group_sizes(folder)
        parameters = sum(_count(name, shapes, groups) for name in shapes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        return None
    return Weights(parameters, 8 * sum(path.stat().st_size for path in files) / parameters) if parameters else None


def _header(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > _LONGEST_HEADER:
            raise ValueError(f"{path}: a header of {length} bytes")
        yield from ((name, said) for name, said in json.loads(stream.read(length)).items() if name != "__metadata__")


def _group_sizes(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("quantization") or {}


def _count(name: str, shapes: dict[str, tuple[int, ...]], groups: dict[str, Any]) -> int:
    """The weights of one tensor: codes count by their scales, which count as nothing themselves."""
    path, _, leaf = name.rpartition(".")
    scales = shapes.get(f"{path}.scales")
    if scales is None:
        return math.prod(shapes[name])
    if leaf != "weight":
        return 0
    own = groups.get(path)
    said = own if isinstance(own, dict) else groups
    return math.prod(scales) * int(said.get("group_size", groups.get("group_size", _GROUP_SIZE)))
