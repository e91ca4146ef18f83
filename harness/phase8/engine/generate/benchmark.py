"""Ask one model the items of an outside benchmark, in batches that are kept one by one."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlx.core as mx
from mlx_lm.tokenizer_utils import TokenizerWrapper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from phase8.cases.benchmark import AskedBatch, BenchmarkReply, Category
from phase8.core.files import write_text
from phase8.engine.generate.batched import Generated, greedy
from phase8.engine.load.chat import Messages, prompt_tokens, stop_ids
from phase8.engine.load.models import load_fast

_CACHE_BLOCK = 256  # mlx-lm's caches grow by so many tokens
_TOKENS_AT_ONCE = 12_288  # of all rows of a batch: 0.6 GB of keys and values on SmolLM2 in float32, twice that to grow


def ask(
    folder: Path,
    adapter: Path | None,
    prompts: Mapping[Category, Mapping[str, Messages]],
    stop_sequences: tuple[str, ...],
    max_tokens: int,
    out: Path,
) -> None:
    """Write one file for each batch; what an interrupted attempt left in ``out`` is not asked again.

    Args:
        folder: the model.
        adapter: its live adapter, if it has one.
        prompts: for each category the conversation of each item by its id.
        stop_sequences: what ends a reply, each a single token.
        max_tokens: where a reply is cut off.
        out: the folder of the files.
    """
    model, tokenizer = load_fast(folder, adapter)
    stops = stop_ids(tokenizer, stop_sequences)
    planned: set[Path] = set()
    with _progress() as bar:
        task = bar.add_task("bfcl", total=sum(map(len, prompts.values())))
        for category, asked in prompts.items():
            names, tokens = list(asked), [prompt_tokens(tokenizer, messages) for messages in asked.values()]
            for number, rows in enumerate(batches([len(prompt) for prompt in tokens], max_tokens)):
                path, chosen = out / f"{category}-{number:03d}.json", [tokens[row] for row in rows]
                planned.add(path)
                if _holds(path, [names[row] for row in rows]):
                    bar.advance(task, len(rows))
                    continue
                started = time.monotonic()
                found = greedy(
                    model, tokenizer, chosen, stops, max_tokens, len(rows), progress=lambda n: bar.advance(task, n)
                )
                replies = _replies([names[row] for row in rows], chosen, found, tokenizer)
                seconds = round(time.monotonic() - started, 3)
                write_text(
                    path, AskedBatch(category=category, seconds=seconds, replies=replies).model_dump_json(indent=1)
                )
                mx.clear_cache()
                if not bar.console.is_terminal:
                    bar.console.print(f"bfcl: {len(rows)} of {category} asked in {seconds:.0f} s", highlight=False)
    for left in set(out.glob("*-[0-9][0-9][0-9].json")) - planned:
        left.unlink()  # of an attempt whose batches were others


def _holds(path: Path, names: Sequence[str]) -> bool:
    """Whether a file holds the replies to just these items."""
    try:
        kept = AskedBatch.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return [reply.id for reply in kept.replies] == list(names)


def batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """The rows of each batch, shortest prompts first, as many as memory for their keys and values allows."""
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        tokens = -(-(lengths[row] + max_tokens) // _CACHE_BLOCK) * _CACHE_BLOCK
        if found and (len(found[-1]) + 1) * tokens <= _TOKENS_AT_ONCE:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def _replies(
    names: Sequence[str], prompts: Sequence[Sequence[int]], found: Sequence[Generated], tokenizer: TokenizerWrapper
) -> tuple[BenchmarkReply, ...]:
    return tuple(
        BenchmarkReply(
            id=name,
            prompt_tokens=len(prompt),
            tokens=len(reply.tokens),
            text=tokenizer.decode(list(reply.tokens)),
            finish=reply.finish,
        )
        for name, prompt, reply in zip(names, prompts, found, strict=True)
    )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
