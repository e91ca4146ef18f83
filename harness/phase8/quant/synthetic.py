"""The synthetic mixture of experts that fusing is measured on, on paper.

A qwen3_moe with hidden size 1024 and 32 experts of 768, 78 M parameters a layer. Its depth
gives the wanted size, so that a larger one has more tensors and none that is larger.
"""

from typing import Any

HIDDEN, EXPERTS, EXPERT_SIZE, VOCABULARY = 1024, 32, 768, 32768
HEADS, KV_HEADS, HEAD_SIZE = 16, 4, 64


def layers_of(parameters: float) -> int:
    """The depth, at least 2, that comes nearest to so many parameters."""
    attention = HIDDEN * HEAD_SIZE * (2 * HEADS + 2 * KV_HEADS)
    a_layer = attention + EXPERTS * (3 * HIDDEN * EXPERT_SIZE + HIDDEN)
    return max(2, round((parameters - VOCABULARY * HIDDEN) / a_layer))


def config_of(layers: int) -> dict[str, Any]:
    """The mlx-lm config of a synthetic model of so many layers."""
    return {
        "model_type": "qwen3_moe",
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "intermediate_size": EXPERT_SIZE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "num_experts": EXPERTS,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": EXPERT_SIZE,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
        "rms_norm_eps": 1e-6,
        "vocab_size": VOCABULARY,
        "rope_theta": 10000.0,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }
