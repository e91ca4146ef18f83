"""Whether two model folders are the same: every tensor bit by bit, config and index, and the files beside them.

Of the tokenizer nothing is asked: ours is the base's own, stock writes it anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx

from phase8.core.model_files import taken_over
from phase8.core.values import Frozen
from phase8.engine.arrays import load_arrays

_READ = ("config.json", "model.safetensors.index.json")


class Sameness(Frozen):
    """``tensors`` are those of either folder, ``quantised`` the weights among them that have scales in the first.

    ``differences`` are sentences, one for each tensor or file that is not the same in both.
    """

    tensors: int
    quantised: int
    differences: tuple[str, ...]


def same_folders(ours: Path, stock: Path) -> Sameness:
    """Compare our folder with the one of stock mlx-lm.

    Raises:
        OSError: a folder has no config or no index.
    """
    mine, theirs = _tensors(ours), _tensors(stock)
    return Sameness(
        tensors=len(mine.keys() | theirs.keys()),
        quantised=sum(name.endswith(".scales") for name in mine),
        differences=(*_unlike(mine, theirs), *_files(ours, stock)),
    )


def _tensors(folder: Path) -> dict[str, mx.array]:
    """The arrays of all weight files, not yet in memory."""
    return {
        name: a for file in sorted(folder.glob("model*.safetensors")) for name, a in load_arrays(file).arrays.items()
    }


def _unlike(mine: dict[str, mx.array], theirs: dict[str, mx.array]) -> Iterator[str]:
    for name in sorted(mine.keys() | theirs.keys()):
        # Taken out, so that what was read of the files is not kept.
        one, other = mine.pop(name, None), theirs.pop(name, None)
        if one is None or other is None:
            yield f"{name}: only {'stock' if one is None else 'ours'} has it"
        elif (one.dtype, one.shape) != (other.dtype, other.shape):
            yield f"{name}: {one.dtype} {one.shape}, stock {other.dtype} {other.shape}"
        elif not mx.array_equal(one.view(mx.uint8), other.view(mx.uint8)).item():
            yield f"{name}: other values"


def _files(ours: Path, stock: Path) -> Iterator[str]:
    """JSON files that say something else, and files that one side alone has."""
    for name in _READ:
        if json.loads((ours / name).read_text()) != json.loads((stock / name).read_text()):
            yield f"{name}: other contents"
    alone = {path.name for path in ours.iterdir()} ^ {path.name for path in stock.iterdir()}
    alone -= {path.parts[0] for folder in (ours, stock) for path in taken_over(folder)}
    yield from (f"{name}: a file of one side alone" for name in sorted(alone))
