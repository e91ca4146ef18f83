"""Faults planted in the weights of a model folder or an adapter, each as the mistake it stands for would leave them."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import load_arrays, to_ints
from phase8.engine.load.models import load_fast

Tensors = dict[str, mx.array]


def zero_expert(folder: Path, layer: int, expert: int) -> None:
    """Make one expert of a mixture answer nothing: every scale and bias of its three projections is zero.

    Raises:
        InvalidInput: the model has no such expert.
    """

    def change(tensors: Tensors) -> None:
        names = _named(tensors, f"model.layers.{layer}.mlp.switch_mlp.", (".scales", ".biases"))
        for name in names:
            rows = tensors[name]
            if expert >= rows.shape[0]:
                raise InvalidInput(f"{folder}: expert {expert} is not one of {rows.shape[0]}")
            keep = (mx.arange(rows.shape[0]) != expert).reshape(-1, *[1] * (rows.ndim - 1))
            tensors[name] = mx.where(keep, rows, mx.zeros_like(rows))

    _edit(folder, change)


def busiest_expert(folder: Path, layer: int, texts: Sequence[str]) -> int:
    """The expert that a layer's router sends most tokens of some texts to; one that gets none can be lost unseen."""
    model, tokenizer = load_fast(folder)
    block: Any = cast("Any", model).model.layers[layer].mlp
    block.gate = _Listening(block.gate)
    chosen: Counter[int] = Counter()
    for text in texts:
        model(mx.array([tokenizer.encode(text)]))
        best = mx.argsort(-block.gate.heard, axis=-1)[..., : block.top_k]
        chosen.update(to_ints(best.flatten()))
    return chosen.most_common(1)[0][0]


class _Listening(nn.Module):
    """A router that keeps what it said last."""

    def __init__(self, router: nn.Module) -> None:
        super().__init__()
        self._router = router

    def __call__(self, x: mx.array) -> mx.array:
        self._heard = self._router(x)
        return self._heard

    @property
    def heard(self) -> mx.array:
        """The logits (B, L, experts) of the last call."""
        return self._heard


def permute_router(folder: Path, layer: int) -> None:
    """Send each token to the experts beside the right ones: the router's rows move on by one.

    Raises:
        InvalidInput: the layer has no router.
    """

    def change(tensors: Tensors) -> None:
        for name in _named(tensors, f"model.layers.{layer}.mlp.gate.", ("",)):
            tensors[name] = mx.roll(tensors[name], 1, 0)

    _edit(folder, change)


def scale_adapter(adapter: Path, factor: float, out: Path) -> None:
    """A copy of an adapter that is told to be ``factor`` times as strong.

    Raises:
        InvalidInput: its config names no scale.
    """
    shutil.copytree(adapter, out)
    path = out / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    try:
        config["lora_parameters"]["scale"] *= factor
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path}: no lora_parameters.scale: {error!r}") from error
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")


def _named(tensors: Tensors, start: str, ends: tuple[str, ...]) -> list[str]:
    """The tensors whose names begin and end like this.

    Raises:
        InvalidInput: there is none, so nothing would be planted.
    """
    found = sorted(name for name in tensors if name.startswith(start) and name.endswith(ends))
    if not found:
        raise InvalidInput(f"no tensor {start}*: the plant does not fit this model")
    return found


def _edit(folder: Path, change: Callable[[Tensors], None]) -> None:
    """Change the tensors of a folder of one shard in place."""
    path = folder / "model.safetensors"
    stored = load_arrays(path)
    tensors = dict(stored.arrays)
    change(tensors)
    mx.eval(tensors)
    written = path.with_suffix(".new.safetensors")
    mx.save_safetensors(str(written), tensors, stored.metadata)
    written.replace(path)
