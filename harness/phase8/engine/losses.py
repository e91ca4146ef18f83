"""Losses planted in an adapter and a fused folder, each in its own module; and the same weights in other dtypes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import load_arrays

Tensors = dict[str, mx.array]


class Loss(NamedTuple):
    """What is planted, and in which module."""

    what: str
    module: str
    expert: int | None = None


def plant_losses(adapter: Path, out: Path) -> list[Loss]:
    """A copy of an adapter without, with half and with twice its delta in some modules, two of them exchanged.

    Two more modules are named, left as they are, for ``damage``.

    Raises:
        InvalidInput: the adapter has too few modules.
    """
    tensors = load_arrays(adapter / "adapters.safetensors").arrays
    mx.eval(tensors)
    left = sorted(name.removesuffix(".lora_b") for name in tensors if name.endswith(".lora_b"))
    losses: list[Loss] = []
    alike = _alike(tensors, left)
    needed = 7 + any(tensors[f"{path}.lora_b"].ndim == 3 for path in left)  # one a loss, and one for an expert's
    if len(left) < needed or not alike:
        raise InvalidInput(f"{adapter}: {len(left)} modules; proving rounding takes {needed}, two of them of one shape")
    for one in alike:
        losses.append(Loss("delta of another module", one))
        left.remove(one)
    for leaf in ("lora_a", "lora_b"):
        first, second = (f"{path}.{leaf}" for path in alike)
        tensors[first], tensors[second] = tensors[second], tensors[first]
    if experts := [path for path in left if tensors[f"{path}.lora_b"].ndim == 3]:
        name, rows = f"{experts[-1]}.lora_b", tensors[f"{experts[-1]}.lora_b"].shape[0]
        tensors[name] = mx.where((mx.arange(rows) == 1)[:, None, None], 0.0, tensors[name]).astype(tensors[name].dtype)
        losses.append(Loss("adapter missing in an expert", experts[-1], 1))
        left.remove(experts[-1])
    for what, factor in (("adapter missing", 0.0), ("delta halved", 0.5), ("delta doubled", 2.0)):
        name = f"{left[0]}.lora_b"
        tensors[name] = (tensors[name] * factor).astype(tensors[name].dtype)
        losses.append(Loss(what, left.pop(0)))
    losses += [Loss("a code flipped", left[0]), Loss("a scale off", left[-1])]
    shutil.copytree(adapter, out)
    mx.save_safetensors(str(out / "adapters.safetensors"), tensors)
    return losses


def _alike(tensors: Tensors, paths: list[str]) -> tuple[str, str] | None:
    """The first two modules whose factors have one shape."""
    for number, one in enumerate(paths):
        for other in paths[number + 1 :]:
            if all(tensors[f"{one}.{leaf}"].shape == tensors[f"{other}.{leaf}"].shape for leaf in ("lora_a", "lora_b")):
                return one, other
    return None


def damage(folder: Path, losses: list[Loss]) -> None:
    """One code of a folder becomes its neighbour, one scale is off by eight units in its last place, in their modules.

    In a folder of floats one float is off by a sixteenth of the largest of its row.
    """
    code, scale = (next(one.module for one in losses if one.what == what) for what in ("a code flipped", "a scale off"))

    def change(tensors: Tensors) -> None:
        for path, leaf in ((code, "weight"), (scale, "scales")):
            if mx.issubdtype(tensors[f"{path}.weight"].dtype, mx.floating):
                tensors[f"{path}.weight"] = _float_off(tensors[f"{path}.weight"])
            elif leaf == "weight":
                codes = tensors[f"{path}.weight"]
                tensors[f"{path}.weight"] = codes ^ _first(codes).astype(codes.dtype)
            else:
                tensors[f"{path}.scales"] = _scale_off(tensors[f"{path}.scales"])

    _rewrite(folder, folder, change)


def _first(array: mx.array) -> mx.array:
    """True at the first place of an array."""
    return (mx.arange(array.size) == 0).reshape(array.shape)


def _float_off(array: mx.array) -> mx.array:
    """The first float of an array by a sixteenth of the largest of its row."""
    largest = mx.max(mx.abs(array), -1, keepdims=True)
    return array + (_first(array) * largest / 16).astype(array.dtype)


def _scale_off(array: mx.array) -> mx.array:
    """The first scale of an array eight numbers of its dtype further; of scales that are exponents one."""
    kind = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32}[array.itemsize]
    step = 1 if array.itemsize == 1 else 8
    return (array.view(kind) + (step * _first(array)).astype(kind)).view(array.dtype)


def cast_adapter(adapter: Path, dtype: str, out: Path) -> Path:
    """A copy of an adapter whose tensors are in another dtype: so are the products of its factors."""
    shutil.copytree(adapter, out)
    stored = load_arrays(adapter / "adapters.safetensors").arrays
    cast = {name: array.astype(getattr(mx, dtype)) for name, array in stored.items()}
    mx.save_safetensors(str(out / "adapters.safetensors"), cast)
    return out


def cast_base(base: Path, dtype: str, out: Path) -> Path:
    """A copy of a base whose floats are in another dtype: its weights are dequantised and fused in that."""
    shutil.copytree(base, out)

    def change(tensors: Tensors) -> None:
        for name, array in tensors.items():
            if mx.issubdtype(array.dtype, mx.floating):
                tensors[name] = array.astype(getattr(mx, dtype))

    _rewrite(base, out, change)
    config = json.loads((out / "config.json").read_text(encoding="utf-8")) | {"torch_dtype": dtype}
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return out


def dtype_of(base: Path) -> str:
    """The dtype of a base's floats."""
    floats = (array.dtype for array in load_arrays(base / "model.safetensors").arrays.values())
    return next(f"{dtype}".rpartition(".")[2] for dtype in floats if mx.issubdtype(dtype, mx.floating))


def _rewrite(folder: Path, out: Path, change: Callable[[Tensors], None]) -> None:
    """Change the tensors of a folder of one shard."""
    stored = load_arrays(folder / "model.safetensors")
    tensors = dict(stored.arrays)
    mx.eval(tensors)
    change(tensors)
    mx.eval(tensors)
    written = out / "model.new.safetensors"
    mx.save_safetensors(str(written), tensors, stored.metadata)
    written.replace(out / "model.safetensors")
