"""Model and adapter folders small enough to make in a test."""

import json
from pathlib import Path
from typing import Any

KEYS = ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj", "mlp.gate", "mlp.switch_mlp.up_proj"]
KEYS += ["mlp.switch_mlp.down_proj"]
_COMMON: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": 300,
    "rope_theta": 10000.0,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MOE = _COMMON | {
    "model_type": "qwen3_moe",
    "intermediate_size": 128,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,  # a multiple of 32 alone: mlx-lm skips down_proj at the larger groups
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "tie_word_embeddings": True,
}
TIED = _COMMON | {"model_type": "llama", "intermediate_size": 192, "tie_word_embeddings": True}
UNTIED = TIED | {"tie_word_embeddings": False, "attention_bias": True}


def tokenizer_folder(out: Path) -> Path:
    """A BPE tokenizer with a chat template."""
    from phase8.engine.train.pocket import train_tokenizer

    train_tokenizer(["find it in a.py call Help."] * 50, 300, out)
    return out


def model_folder(
    out: Path, tokenizer: Path, config: dict[str, Any], dtype: str = "bfloat16", **quantisation: Any
) -> Path:
    """An untrained model, quantised where ``bits`` and ``group_size`` (and ``mode``) are given."""
    import mlx.core as mx
    from mlx_lm.models import llama, qwen3_moe
    from mlx_lm.utils import quantize_model, save

    from phase8.engine.load.tokenizer import read_tokenizer

    kind: Any = {"llama": llama, "qwen3_moe": qwen3_moe}[config["model_type"]]
    mx.random.seed(3)
    model = kind.Model(kind.ModelArgs.from_dict(config))
    model.set_dtype(getattr(mx, dtype))
    if quantisation:
        model, config = quantize_model(model, config, **quantisation)
    save(out, str(tokenizer), model, read_tokenizer(tokenizer), dict(config), donate_model=False)
    return out


def adapter_folder(out: Path, base: Path, *more_keys: str, kind: str = "lora", **settings: Any) -> Path:
    """An adapter whose delta is no smaller than a quantisation step, on the last layer and ``more_keys``."""
    import mlx.core as mx
    from mlx_lm.tuner.utils import linear_to_lora_layers

    from phase8.engine.arrays import named_arrays
    from phase8.engine.load.models import read_model

    parameters = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": [*KEYS, *more_keys]} | settings
    model = read_model(base)
    model.freeze()
    linear_to_lora_layers(model, 1, parameters, use_dora=kind == "dora")
    tensors = {
        name: value if name.endswith(".m") else mx.random.normal(value.shape, scale=0.1)
        for name, value in named_arrays(model.trainable_parameters()).items()
    }
    out.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(out / "adapters.safetensors"), tensors)
    config = {"fine_tune_type": kind, "num_layers": 1, "lora_parameters": parameters}
    (out / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return out
