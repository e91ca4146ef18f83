"""Ask one variant every case and keep what it said."""

import json
from pathlib import Path
from typing import Any

from mlx_lm.utils import get_total_parameters
from rich.console import Console
from rich.progress import Progress

from phase8.cases.cases import Case
from phase8.cases.replies import read_reply
from phase8.chat.formats import Tools
from phase8.core.machine import replies_on
from phase8.engine.cpu import keep_freed_memory
from phase8.engine.generate.batched import greedy
from phase8.engine.load.chat import case_tokens, stop_ids
from phase8.engine.load.models import attach_adapter, bits_per_weight, load_fast, read_model
from phase8.profile.sections import Prompting


def evaluate(
    folder: Path, adapter: Path | None, cases: list[Case], prompting: Prompting, tools: Tools, out: Path
) -> None:
    """Write ``replies.json``: every reply, the weights they came from, bits per weight and size in bytes."""
    weights = weights_of(folder, adapter)
    keep_freed_memory()
    model, tokenizer = load_fast(folder, adapter)
    stops = stop_ids(tokenizer, prompting.stop_sequences)
    replies = []
    prompts = [case_tokens(tokenizer, case, tools, prompting) for case in cases]
    limits = [min(case.max_tokens or prompting.max_tokens, prompting.max_tokens) for case in cases]
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replies", total=len(cases))
        answers = greedy(model, tokenizer, prompts, stops, limits, progress=lambda n: bar.advance(task, n))
    for case, prompt, answer in zip(cases, prompts, answers, strict=True):
        text = tokenizer.decode(list(answer.tokens))
        replies.append(read_reply(case, text, answer.tokens, answer.finish, prompt, prompting, tools))
    stored = {**weights, "replies": [reply.model_dump(mode="json") for reply in replies]}
    (out / "replies.json").write_text(json.dumps(stored, ensure_ascii=False, indent=1), encoding="utf-8")


def weights_of(folder: Path, adapter: Path | None) -> dict[str, Any]:
    """Bits per weight, parameters and size in bytes as shipped, and what replies are made on."""
    shipped = read_model(folder)  # lazy: counted, never loaded
    if adapter is not None:
        attach_adapter(shipped, adapter)
    return {
        "bits_per_weight": round(bits_per_weight(shipped), 3),
        "parameters": int(get_total_parameters(shipped)),
        "size_bytes": sum(p.stat().st_size for f in (folder, adapter) if f for p in _weight_files(f)),
        "replies_on": replies_on(),
    }


def _weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's or an adapter's weights; numbered checkpoints are not part of it."""
    return list(folder.glob("model*.safetensors")) or list(folder.glob("adapters.safetensors"))
