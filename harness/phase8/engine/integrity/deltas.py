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

from phase8.engine.arrays import load_arrays, named_arrays
from phase8.engine.fuse.tensor_sources import Codes, Source, Whole
from phase8.engine.load.models import attach_adapter, read_model

Rows = Callable[[int, int], mx.array]


@dataclass(frozen=True, eq=False)
class Factors:
    """The low-rank factors of a delta as the adapter holds them: (O, r) and (r, I), or a pair for each expert."""

    tall: mx.array
    wide: mx.array
    scale: float

    def block(self, start: int, stop: int) -> tuple[mx.array, mx.array]:
        """The factors of the rows, or of the experts, ``start`` to ``stop``; not yet scaled."""
        return self.tall[start:stop], self.wide[start:stop] if self.wide.ndim == 3 else self.wide


class Touched(NamedTuple):
    """A weight that an adapter changes: the base's own values, and what is added to them.

    ``factors`` are those of a low-rank delta, ``magnitude`` is DoRA's (O,); full fine-tuning has neither.
    """

    own: Source
    delta: Source
    factors: Factors | None = None
    magnitude: mx.array | None = None


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
    factors = _factors(layer, own.shape)
    if factors is None:
        return Touched(own, _added(own, Whole(layer.fuse(dequantize=True)["weight"])))
    if isinstance(layer, DoRALinear | DoRAEmbedding):
        return Touched(own, _Product(own.shape, _normed(own, _product(factors), layer.m)), factors, layer.m)
    return Touched(own, _Product(own.shape, _product(factors)), factors)


def _factors(layer: nn.Module, shape: tuple[int, ...]) -> Factors | None:
    """The factors of a low-rank layer whose weight has this shape; None for a layer of another kind."""
    if isinstance(layer, LoRASwitchLinear):
        return Factors(layer.lora_b, layer.lora_a.reshape(shape[0], -1, shape[-1]), layer.scale)
    if isinstance(layer, LoRALinear | DoRALinear):
        return Factors(layer.lora_b.T, layer.lora_a.T, layer.scale)
    if isinstance(layer, LoRAEmbedding | DoRAEmbedding):
        return Factors(layer.lora_a, layer.lora_b, layer.scale)
    return None


def _product(factors: Factors) -> Rows:
    """scale * tall @ wide, for each expert where there are several."""

    def rows(start: int, stop: int) -> mx.array:
        tall, wide = factors.block(start, stop)
        return (factors.scale * tall.astype(mx.float32)) @ wide.astype(mx.float32)

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
