"""Greedy replies, many prompts at a time, the shared beginning of the prompts computed once.

mlx-lm's own batch generator also returns log-probabilities of the whole
vocabulary for every token; judging needs only the token, and without them a step
of 64 rows takes two thirds of the time on a CPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import stream_generate
from mlx_lm.models.cache import BatchKVCache, KVCache, make_prompt_cache
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import common_prefix_len

from harness.engine.arrays import to_ints
from harness.record import Finish

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Generated:
    """The tokens of one reply without the stop token, and why it ended: ``stop`` or ``length``."""

    tokens: tuple[int, ...]
    finish: Finish


def greedy(
    model: nn.Module,
    tokenizer: TokenizerWrapper,
    prompts: Sequence[Sequence[int]],
    stops: set[int],
    max_tokens: int,
    batch_size: int = 96,
    progress: Progress = lambda _: None,
) -> list[Generated]:
    """One greedy reply for each prompt, in the order of the prompts.

    Models whose cache cannot be batched are answered one prompt at a time.
    """
    if not all(type(cache) is KVCache for cache in make_prompt_cache(model)):
        return [_one(model, tokenizer, prompt, stops, max_tokens, progress) for prompt in prompts]
    replies: dict[int, Generated] = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = _batch(model, [list(prompts[i]) for i in chosen], stops, max_tokens, progress)
        replies.update(zip(chosen, batch, strict=True))
    return [replies[i] for i in range(len(prompts))]


def _one(
    model: nn.Module,
    tokenizer: TokenizerWrapper,
    prompt: Sequence[int],
    stops: set[int],
    max_tokens: int,
    progress: Progress,
) -> Generated:
    tokens: list[int] = []
    tokenizer.eos_token_ids = stops
    finish: Finish = "length"
    for response in stream_generate(model, tokenizer, list(prompt), max_tokens=max_tokens):
        if response.finish_reason == "stop":
            finish = "stop"
            break
        tokens.append(response.token)
    progress(1)
    return Generated(tokens=tuple(tokens), finish=finish)


def _batch(
    model: nn.Module, prompts: list[list[int]], stops: set[int], max_tokens: int, progress: Progress
) -> list[Generated]:
    caches, suffixes = _prefill_shared(model, prompts)
    _prefill(model, caches, [suffix[:-1] for suffix in suffixes])
    current = mx.array([suffix[-1] for suffix in suffixes])
    written: list[list[int]] = [[] for _ in prompts]
    finish: list[Finish] = ["length"] * len(prompts)
    rows = list(range(len(prompts)))
    while rows:
        current = mx.argmax(model(current[:, None], cache=caches)[:, -1, :], axis=-1)
        going = []
        for position, (row, token) in enumerate(zip(rows, to_ints(current), strict=True)):
            if token in stops:
                finish[row] = "stop"
                continue
            written[row].append(token)
            if len(written[row]) < max_tokens:
                going.append(position)
        progress(len(rows) - len(going))
        if going and len(going) < len(rows):
            current = current[mx.array(going)]
            for cache in caches:
                cache.filter(mx.array(going))
        rows = [rows[position] for position in going]
    return [Generated(tokens=tuple(t), finish=f) for t, f in zip(written, finish, strict=True)]


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, short of the whole of the shortest."""
    shortest = min(len(prompt) for prompt in prompts)
    return min(shortest - 1, *(common_prefix_len(prompts[0], prompt) for prompt in prompts))


def _prefill_shared(model: nn.Module, prompts: list[list[int]]) -> tuple[list[BatchKVCache], list[list[int]]]:
    """Caches that hold the common prefix of all prompts, and what is left of each prompt (at least one token)."""
    shared = shared_prefix(prompts)
    single = make_prompt_cache(model)
    if shared:
        model(mx.array([prompts[0][:shared]]), cache=single)
        mx.eval([cache.state for cache in single])
    caches = [BatchKVCache.merge([cache] * len(prompts)) for cache in single]
    return caches, [prompt[shared:] for prompt in prompts]


def _prefill(model: nn.Module, caches: list[BatchKVCache], parts: list[list[int]]) -> None:
    """Add the rest of each prompt to its row; shorter ones are padded right, then rolled into place."""
    longest = max(len(part) for part in parts)
    if not longest:
        return
    padding = [longest - len(part) for part in parts]
    if max(padding):
        for cache in caches:
            cache.prepare(lengths=[len(part) for part in parts], right_padding=padding)
    model(mx.array([part + [0] * pad for part, pad in zip(parts, padding, strict=True)]), cache=caches)
    mx.eval([cache.state for cache in caches])
    if max(padding):
        for cache in caches:
            cache.finalize()
        mx.eval([cache.state for cache in caches])
