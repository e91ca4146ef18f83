"""What a fused model folder will hold, planned before anything is computed: targets, shards, offsets, index.

Pure arithmetic on names and sizes. Because every tensor's place is known beforehand,
tensors can be written in any order, piece by piece, and a shard is never held in memory.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from phase8.core.errors import InvalidInput
from phase8.core.values import Frozen
from phase8.profile.terms import GroupSize, Recipe, Width

SHARD_LIMIT = 5 << 30  # bytes; mlx-lm's limit, so that shards have the same names and contents
INDEX = "model.safetensors.index.json"


class Target(Frozen):
    """One model folder to write: ``bits`` per weight code (None: floats) and weights that share a scale."""

    bits: Width | None
    group_size: GroupSize
    recipe: Recipe

    def __str__(self) -> str:
        return f"{self.bits} bits" if self.bits else "float"


def target(bits: Any, group_size: Any, recipe: Any) -> Target:
    """A target from values that nobody has checked yet.

    Raises:
        InvalidInput: a width, group size or recipe that is not written.
    """
    for name, found, allowed in (
        ("width", bits, (*get_args(Width), None)),
        ("group size", group_size, get_args(GroupSize)),
        ("recipe", recipe, get_args(Recipe)),
    ):
        if found not in allowed:
            listed = ", ".join("float" if value is None else str(value) for value in allowed)
            raise InvalidInput(f"fuse: {name} {found!r} is not written. Affine codes are, with {name} {listed}")
    return Target(bits=bits, group_size=group_size, recipe=recipe)


class Tensor(Frozen):
    """One tensor to be: its dtype as safetensors names it, its size in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


class Place(Frozen):
    """Where a tensor's first byte goes."""

    shard: str
    offset: int


class Layout(Frozen):
    """The safetensors files of a folder: their beginnings, their sizes in bytes, and the place of each tensor."""

    headers: dict[str, bytes]
    sizes: dict[str, int]
    places: dict[str, Place]


def lay_out(tensors: Sequence[Tensor], limit: int = SHARD_LIMIT) -> Layout:
    """Distribute tensors over shards in the given order, as mlx-lm does.

    A shard begins where the next tensor would exceed ``limit`` bytes; a tensor that is
    larger gets a shard of its own. A file is an 8-byte length, a JSON header, the data
    (https://huggingface.co/docs/safetensors, "Format").
    """
    shards: list[list[Tensor]] = []
    filled = 0
    for tensor in tensors:
        if not shards or filled + tensor.size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.size
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    headers, sizes, places = {}, {}, {}
    for name, held in zip(names if len(shards) > 1 else ["model.safetensors"], shards, strict=True):
        headers[name] = _header(held)
        offset = len(headers[name])
        for tensor in held:
            places[tensor.name] = Place(shard=name, offset=offset)
            offset += tensor.size
        sizes[name] = offset
    return Layout(headers=headers, sizes=sizes, places=places)


def _header(tensors: Iterable[Tensor]) -> bytes:
    """Length and JSON of one file, filled up with spaces so that the data begins at a multiple of 8."""
    entries: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    offset = 0
    for tensor in tensors:
        span = [offset, offset + tensor.size]
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": span}
        offset += tensor.size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def index(layout: Layout, tensors: Iterable[Tensor], parameters: int) -> dict[str, Any]:
    """The contents of ``model.safetensors.index.json``, as mlx-lm writes it."""
    total = sum(tensor.size for tensor in tensors)
    weight_map = {name: layout.places[name].shard for name in sorted(layout.places)}
    return {"metadata": {"total_size": total, "total_parameters": parameters}, "weight_map": weight_map}
