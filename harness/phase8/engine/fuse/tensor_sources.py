"""Where the float weights of a fused model come from, block by block along the first axis.

A block is a lazy array: it is computed when it is asked for, by the stream it was asked on,
and nothing of its neighbours is kept.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.tuner.lora import LoRASwitchLinear

from phase8.engine.fuse.kernels import dequantise


class Source(Protocol):
    """A tensor that can be had in blocks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        ...

    def block(self, start: int, stop: int) -> mx.array:
        """The entries ``start`` to ``stop`` of the first axis."""
        ...


@dataclass(frozen=True, eq=False)
class Whole:
    """A tensor that is computed or read at once."""

    array: mx.array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return tuple(self.array.shape)

    def block(self, start: int, stop: int) -> mx.array:
        """A part of the array; the array itself where that is everything, scalars included."""
        if self.array.ndim == 0 or (start, stop) == (0, self.array.shape[0]):
            return self.array
        return self.array[start:stop]


@dataclass(frozen=True, eq=False)
class Codes:
    """The weights of a quantised layer, dequantised by the layer's own mode."""

    codes: mx.array
    scales: mx.array
    biases: mx.array | None
    group_size: int
    bits: int
    mode: str

    @classmethod
    def of(cls, module: nn.Module) -> "Codes":
        """The codes of a quantised linear layer, embedding or expert stack."""
        way: dict[str, Any] = {name: getattr(module, name) for name in ("group_size", "bits", "mode")}
        return cls(module["weight"], module["scales"], module.get("biases"), **way)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weights that the codes stand for."""
        return (*self.codes.shape[:-1], self.codes.shape[-1] * 32 // self.bits)

    def block(self, start: int, stop: int) -> mx.array:
        """Weights in the dtype of the scales."""
        biases = None if self.biases is None else self.biases[start:stop]
        way = {"group_size": self.group_size, "bits": self.bits, "mode": self.mode}
        return dequantise(self.codes[start:stop], self.scales[start:stop], biases, **way)


@dataclass(frozen=True, eq=False)
class Experts:
    """An expert stack (E, O, I) plus its LoRA deltas, in the steps of mlx-lm's ``LoRASwitchLinear.fuse``.

    Each expert's delta is a product of its own, so a block of experts has the bits of the whole stack.
    """

    base: Source
    lora_a: mx.array
    lora_b: mx.array
    scale: float

    @classmethod
    def of(cls, module: LoRASwitchLinear) -> "Experts":
        """The stack below an adapted layer, and its adapter."""
        linear = module.linear
        base = Codes.of(linear) if "scales" in linear else Whole(linear["weight"])
        return cls(base, module.lora_a, module.lora_b, module.scale)

    @property
    def shape(self) -> tuple[int, ...]:
        """(experts, outputs, inputs)."""
        return self.base.shape

    def block(self, start: int, stop: int) -> mx.array:
        """The experts ``start`` to ``stop``."""
        weight = self.base.block(start, stop)
        lora_a = self.lora_a.reshape(self.shape[0], -1, self.shape[2])[start:stop]
        lora_b = self.scale * self.lora_b[start:stop]
        return weight + (lora_b @ lora_a).astype(weight.dtype)
