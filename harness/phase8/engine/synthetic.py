"""Writing the synthetic model and its adapter, block by block: making it is as bounded as fusing it.

Run as ``python -m phase8.engine.synthetic LAYERS FOLDER``.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import qwen3_moe
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import get_total_parameters, quantize_model, save_config

from phase8.engine.arrays import named_arrays
from phase8.engine.fuse.one_pass import write_folders
from phase8.engine.fuse.recipe import Plan, Shape, Way, Write
from phase8.engine.load.models import read_model
from phase8.engine.train.pocket import train_tokenizer
from phase8.quant.synthetic import config_of

_GROUP_SIZE, _BITS, _RANK = 64, 4, 8


@dataclass(frozen=True, eq=False)
class _Random:
    """Uniform weights of the size that ``nn.Linear`` starts with, each block from its own key."""

    shape: tuple[int, ...]
    number: int

    def block(self, start: int, stop: int) -> mx.array:
        """Random weights in bfloat16, the same for the same block."""
        bound = 1 / math.sqrt(self.shape[-1])
        key = mx.random.key(self.number * 1_000_003 + start)
        return mx.random.uniform(-bound, bound, (stop - start, *self.shape[1:]), dtype=mx.bfloat16, key=key)


def make_synthetic(layers: int, out: Path) -> None:
    """Write ``base`` and ``adapter`` folders below ``out``."""
    base, adapter = out / "base", out / "adapter"
    base.mkdir()
    adapter.mkdir()
    train_tokenizer(["fused once, written at every width"] * 50, 300, base)
    config = config_of(layers)
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
    model.set_dtype(mx.bfloat16)
    made = _plan(model, config)
    write_folders([made], [base])
    save_config(made.config, base / "config.json")
    _write_adapter(base, layers // 2, adapter)


def _plan(model: nn.Module, config: dict[str, Any]) -> Plan:
    """The quantised model on paper, with random weights as sources; norms are one, as they start."""
    floats = named_arrays(model.parameters())
    model, config = quantize_model(model, config, _GROUP_SIZE, _BITS)
    ways = {n: Way(m.group_size, m.bits, m.mode) for n, m in model.named_modules() if "scales" in m}
    sources = {name: _Random(tuple(array.shape), number) for number, (name, array) in enumerate(floats.items())}
    return Plan(
        shapes=[Shape(n, tuple(a.shape), a.dtype, a.nbytes) for n, a in named_arrays(model.parameters()).items()],
        writes=[Write(n, sources[n], a.dtype, ways.get(n.removesuffix(".weight"))) for n, a in floats.items()],
        config=config,
        parameters=get_total_parameters(model),
        keep_vision_config=False,
    )


def _write_adapter(base: Path, layers: int, out: Path) -> None:
    """A LoRA adapter whose deltas are about as large as half a quantisation step."""
    settings = {"rank": _RANK, "scale": 20.0, "dropout": 0.0}
    model = read_model(base)
    model.freeze()
    mx.random.seed(8)
    linear_to_lora_layers(model, layers, settings)
    tensors = {
        name: mx.random.normal(value.shape, scale=1e-3) if name.endswith("lora_b") else value
        for name, value in named_arrays(model.trainable_parameters()).items()
    }
    mx.save_safetensors(str(out / "adapters.safetensors"), tensors)
    config = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": settings}
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


if __name__ == "__main__":
    make_synthetic(int(sys.argv[1]), Path(sys.argv[2]))
