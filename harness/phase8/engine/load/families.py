"""Small untrained models of several families, and adapters on them: what the proof of rounding fuses.

Every layer is adapted, and a delta is about as large as a quantisation step, as the deltas of real adapters are.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from mlx_lm.models import llama, qwen3_moe
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import quantize_model, save

from phase8.engine.arrays import named_arrays
from phase8.engine.load.models import read_model
from phase8.engine.load.tokenizer import read_tokenizer
from phase8.engine.train.pocket import train_tokenizer

_LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": 300,
    "rope_theta": 10000.0,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_MOE = _LLAMA | {
    "model_type": "qwen3_moe",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
}


class Family(NamedTuple):
    """A small model: its name, config, dtype, how it is quantised (empty for floats), the kind of its adapter."""

    name: str
    config: dict[str, Any]
    dtype: str
    quantisation: dict[str, Any]
    kind: str = "lora"


FAMILIES = (
    Family("llama bfloat16", _LLAMA, "bfloat16", {"group_size": 64, "bits": 4}),
    Family("llama float16", _LLAMA, "float16", {"group_size": 64, "bits": 8}),
    Family("llama float32, not quantised", _LLAMA, "float32", {}),
    Family("llama float16, DoRA", _LLAMA, "float16", {"group_size": 64, "bits": 4}, "dora"),
    Family("qwen3_moe bfloat16", _MOE, "bfloat16", {"group_size": 64, "bits": 4}),
    Family("qwen3_moe mxfp4", _MOE, "bfloat16", {"group_size": 32, "bits": 4, "mode": "mxfp4"}),
)


def make_family(family: Family, out: Path) -> tuple[Path, Path]:
    """Write the base and the adapter of a family below ``out``; the same ones on every machine."""
    base, adapter, tokenizer = out / "base", out / "adapter", out / "tokenizer"
    for folder in (adapter, tokenizer):
        folder.mkdir(parents=True)
    train_tokenizer(["fused on another machine, and judged here"] * 50, 300, tokenizer)
    config = family.config | {"torch_dtype": family.dtype}
    kind: Any = {"llama": llama, "qwen3_moe": qwen3_moe}[config["model_type"]]
    mx.random.seed(3)
    model = kind.Model(kind.ModelArgs.from_dict(config))
    model.set_dtype(getattr(mx, family.dtype))
    if family.quantisation:
        with contextlib.redirect_stdout(io.StringIO()):  # mlx-lm prints the bits per weight
            model, config = quantize_model(model, config, **family.quantisation)
    save(base, str(tokenizer), model, read_tokenizer(tokenizer), dict(config), donate_model=False)
    _write_adapter(base, family.kind, adapter)
    return base, adapter


def _write_adapter(base: Path, kind: str, out: Path) -> None:
    settings = {"rank": 8, "scale": 20.0, "dropout": 0.0}
    model = read_model(base)
    model.freeze()
    linear_to_lora_layers(model, _LLAMA["num_hidden_layers"], settings, use_dora=kind == "dora")
    tensors = {
        name: mx.random.normal(value.shape, scale=5e-3) if name.endswith("lora_b") else value
        for name, value in named_arrays(model.trainable_parameters()).items()
    }
    mx.save_safetensors(str(out / "adapters.safetensors"), tensors)
    config = {"fine_tune_type": kind, "num_layers": _LLAMA["num_hidden_layers"], "lora_parameters": settings}
    (out / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
