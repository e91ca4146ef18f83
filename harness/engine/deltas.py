"""What an adapter adds to each weight that it touches, before any rounding: float32, block by block."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear

from harness.engine.arrays import load_arrays, named_arrays
from harness.engine.models import attach_adapter, read_model
from harness.engine.weights import Codes, Source, Whole

Rows = Callable[[int, int], mx.array]


class Touched(NamedTuple):
    """A weight that an adapter changes: the base's own values, and what is added to them."""

    own: Source
    delta: Source


@dataclass(frozen=True, eq=False)
class _Product:
    """A delta whose block is computed from the blocks of its factors."""

    shape: tuple[int, ...]
    rows: Rows

    def block(self, start: int, stop: int) -> mx.array:
        """The entries ``start`` to ``stop`` of the first axis, in float32."""
        return self.rows(start, stop)


def read_deltas(base: Path, adapter: Path) -> dict[str, Touched]:
    """Every tensor that an adapter changes, by its name in the fused float model; nothing is computed.

    Raises:
        InvalidInput: base or adapter cannot be used.
    """
    model = read_model(base)
    own = named_arrays(model.parameters())
    attach_adapter(model, adapter)
    layers = {path: module for path, module in model.named_modules() if hasattr(module, "fuse")}
    found = {f"{path}.weight": _touched(layer) for path, layer in layers.items()}
    for name, array in load_arrays(adapter / "adapters.safetensors").arrays.items():
        if name.rpartition(".")[0] not in layers:
            found[name] = Touched(Whole(own[name]), _added(Whole(own[name]), Whole(array)))
    return found


def _touched(layer: nn.Module) -> Touched:
    """One adapted layer, by the formulas of mlx-lm's ``fuse`` in float32."""
    inner = layer.embedding if isinstance(layer, LoRAEmbedding | DoRAEmbedding) else layer.linear
    own: Source = Codes.of(inner) if "scales" in inner else Whole(inner["weight"])
    if isinstance(layer, LoRASwitchLinear):
        return Touched(own, _Product(own.shape, _experts(layer, own.shape)))
    if isinstance(layer, LoRALinear):
        return Touched(own, _Product(own.shape, _product(layer.scale, layer.lora_b.T, layer.lora_a.T)))
    if isinstance(layer, LoRAEmbedding):
        return Touched(own, _Product(own.shape, _product(layer.scale, layer.lora_a, layer.lora_b)))
    if isinstance(layer, DoRALinear):
        product = _product(layer.scale, layer.lora_b.T, layer.lora_a.T)
        return Touched(own, _Product(own.shape, _normed(own, product, layer.m)))
    if isinstance(layer, DoRAEmbedding):
        product = _product(layer.scale, layer.lora_a, layer.lora_b)
        return Touched(own, _Product(own.shape, _normed(own, product, layer.m)))
    return Touched(own, _added(own, Whole(layer.fuse(dequantize=True)["weight"])))


def _product(scale: float, tall: mx.array, wide: mx.array) -> Rows:
    """scale * tall @ wide, of shapes (O, r) and (r, I)."""

    def rows(start: int, stop: int) -> mx.array:
        return (scale * tall[start:stop].astype(mx.float32)) @ wide.astype(mx.float32)

    return rows


def _experts(layer: LoRASwitchLinear, shape: tuple[int, ...]) -> Rows:
    """The product of each expert's own factors, (E, O, I)."""

    def rows(start: int, stop: int) -> mx.array:
        lora_a = layer.lora_a.reshape(shape[0], -1, shape[-1])[start:stop].astype(mx.float32)
        return (layer.scale * layer.lora_b[start:stop].astype(mx.float32)) @ lora_a

    return rows


def _normed(own: Source, product: Rows, magnitude: mx.array) -> Rows:
    """What DoRA makes of a row, less the row (https://arxiv.org/abs/2402.09353, equation 5)."""

    def rows(start: int, stop: int) -> mx.array:
        weight = own.block(start, stop).astype(mx.float32)
        turned = weight + product(start, stop)
        norms = mx.linalg.norm(turned, axis=1, keepdims=True)
        return magnitude[start:stop, None].astype(mx.float32) / norms * turned - weight

    return rows


def _added(own: Source, whole: Source) -> _Product:
    """The difference of a whole tensor and the base's."""
    return _Product(own.shape, lambda start, stop: whole.block(start, stop).astype(mx.float32) - own.block(start, stop))


def is_experts(module: nn.Module) -> bool:
    """Whether a module is a stack of experts, its weight of shape (E, O, I) or codes of one."""
    return isinstance(module, SwitchLinear | QuantizedSwitchLinear)
