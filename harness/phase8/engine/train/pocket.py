"""``pocket``: a tiny qwen3_moe with a BPE tokenizer, both made from the corpus.

The base learns to answer every query directly, so that it never calls a tool; what
the adapter adds is then plain to see. It is quantised to 4 bits before LoRA, and so
has the same layers (attention, router, expert stacks) as the production model.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx_lm.models import qwen3_moe
from mlx_lm.tuner.trainer import TrainingArgs
from mlx_lm.tuner.trainer import train as mlx_lm_train
from mlx_lm.utils import create_model_card, quantize_model, save_config, save_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from phase8.core.model_files import take_over
from phase8.engine.cpu import batch_parts, keep_freed_memory, threads_for, uncompiled
from phase8.engine.load.chat import Row
from phase8.engine.train.batches import shuffled
from phase8.engine.train.loss import assistant_loss
from phase8.engine.train.schedule import cosine
from phase8.profile.sections import PocketBase

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_GROUP_SIZE, _BITS = 32, 4
# A few hundred steps are too short for the usual 0.999: with it the base needed 480 to learn to end its sentences.
_BETAS = [0.9, 0.95]
# Muon's rate to AdamW's. With it 190 batches of 8 end at a loss of 1.81 nats a token on rows that were kept out, where
# AdamW alone ends at 2.18 in the same time, and at 2.40 with 300 batches of 4.
_MUON = 2.5


def train_tokenizer(texts: Iterable[str], vocabulary: int, out: Path, marks: Sequence[str] = ()) -> None:
    """Train a byte-level BPE tokenizer of ``vocabulary`` entries and write it with a chat template.

    Each of ``marks`` is one token, as the marks around a call are in a real model's tokenizer: what a tiny model
    spells out anew in every call, it soon copies from itself.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(marks),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in _SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "chat_template": _TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def train_base(base: PocketBase, tokenizer: Path, rows: list[Row], out: Path) -> None:
    """Train the tiny model on its rows, quantise it, and write a model folder."""
    config = model_config(base)
    mx.random.seed(base.seed)
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
    mx.eval(model.parameters())
    args = TrainingArgs(
        batch_size=base.batch_size,
        iters=base.iterations,
        steps_per_save=base.iterations + 1,
        adapter_file=str(out / "trained.safetensors"),
    )
    optimizer = _optimizer(base)
    keep_freed_memory()
    with contextlib.redirect_stdout(io.StringIO()), threads_for(model), uncompiled():
        mlx_lm_train(
            model,
            optimizer,
            rows,
            args=args,
            loss=assistant_loss(model),
            iterate_batches=lambda **_: shuffled(rows, base.batch_size, base.seed, 0, batch_parts(model)),
        )
        Path(args.adapter_file).unlink()
        model, config = quantize_model(model, config, _GROUP_SIZE, _BITS)
        save_model(out, model, donate_model=True)
    take_over(tokenizer, out)
    create_model_card(out, None)
    save_config(config, out / "config.json")


def _optimizer(base: PocketBase) -> optim.Optimizer:
    """Muon for matrices, AdamW for embeddings, norms and expert stacks; both rates rise and fall alike."""
    matrices = optim.Muon(cosine(_MUON * base.learning_rate, base.iterations), weight_decay=0.0)
    others = optim.AdamW(cosine(base.learning_rate, base.iterations), betas=_BETAS)
    return optim.MultiOptimizer([matrices, others], [lambda name, weight: weight.ndim == 2 and "embed" not in name])


def model_config(base: PocketBase) -> dict[str, Any]:
    """The mlx-lm config of this model."""
    return {
        "model_type": "qwen3_moe",
        "architectures": ["Qwen3MoeForCausalLM"],
        "hidden_size": base.hidden_size,
        "num_hidden_layers": base.layers,
        "intermediate_size": 2 * base.hidden_size,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": base.hidden_size // 4,
        "num_experts": base.experts,
        "num_experts_per_tok": base.experts_per_token,
        "moe_intermediate_size": base.hidden_size // 2,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
        "rms_norm_eps": 1e-6,
        "vocab_size": base.vocabulary,
        "rope_theta": 10000.0,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
