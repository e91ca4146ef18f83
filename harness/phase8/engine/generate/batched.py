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

from phase8.engine.arrays import to_ints
from phase8.record.run import Finish

Progress = Callable[[int], None]
_ALIKE = 16  # prompts whose lengths differ by fewer tokens are read together
_READ_AT_ONCE = 32
_GROWTH = 64  # tokens by which a cache grows; mlx-lm's 256 would be copied with every row that leaves


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
    max_tokens: int | Sequence[int],
    batch_size: int = 96,
    progress: Progress = lambda _: None,
) -> list[Generated]:
    """One greedy reply for each prompt, in the order of the prompts, of at most ``max_tokens`` (each, or in order).

    Models whose cache cannot be batched are answered one prompt at a time.
    """
    limits = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else list(max_tokens)
    if not all(type(cache) is KVCache for cache in make_prompt_cache(model)):
        return [_one(model, tokenizer, p, stops, n, progress) for p, n in zip(prompts, limits, strict=True)]
    writing = _Batch(model, [list(prompt) for prompt in prompts], stops, limits)
    while writing.goes_on():
        progress(writing.step(batch_size))
    return writing.replies()


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


class _Batch:
    """Replies being written side by side; prompts that wait take the places of finished ones.

    Taking rows out of the cache copies all of it, so finished rows stay, unread, until a
    sixth of the batch is finished or their places are wanted.
    """

    def __init__(self, model: nn.Module, prompts: list[list[int]], stops: set[int], limits: list[int]) -> None:
        self._model, self._prompts, self._stops, self._limits = model, prompts, stops, limits
        self._waiting = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
        self._shared = shared_prefix(prompts) if prompts else 0
        self._prefix = _read_prefix(model, prompts[0][: self._shared]) if prompts else []
        self._written: list[list[int]] = [[] for _ in prompts]
        self._finish: list[Finish] = ["length"] * len(prompts)
        self._rows: list[int] = []
        self._ended: set[int] = set()
        self._caches: list[BatchKVCache] = []
        self._current = mx.array([], mx.int32)

    def goes_on(self) -> bool:
        """Whether any reply is unfinished."""
        return bool(self._waiting) or len(self._ended) < len(self._rows)

    def replies(self) -> list[Generated]:
        """The replies in the order of the prompts."""
        return [Generated(tokens=tuple(t), finish=f) for t, f in zip(self._written, self._finish, strict=True)]

    def step(self, batch_size: int) -> int:
        """Admit waiting prompts where there is room, write one token of every reply; how many replies ended."""
        room = batch_size - (len(self._rows) - len(self._ended))
        if self._waiting and (not self._rows or room >= min(batch_size // 3, len(self._waiting))):
            self._drop_ended()
            self._admit(min(room, len(self._waiting)))
        logits = self._model(self._current[:, None], cache=self._caches)[:, -1, :]
        self._current = mx.argmax(logits, axis=-1)
        before = len(self._ended)
        for row, token in zip(self._rows, to_ints(self._current), strict=True):
            if row not in self._ended:
                self._take(row, token)
        ended = len(self._ended) - before
        if len(self._ended) * 6 >= len(self._rows):
            self._drop_ended()
        return ended

    def _take(self, row: int, token: int) -> None:
        if token in self._stops:
            self._finish[row] = "stop"
            self._ended.add(row)
            return
        self._written[row].append(token)
        if len(self._written[row]) >= self._limits[row]:
            self._ended.add(row)

    def _drop_ended(self) -> None:
        if not self._ended:
            return
        kept = [position for position, row in enumerate(self._rows) if row not in self._ended]
        self._rows, self._ended = [self._rows[position] for position in kept], set()
        if not kept:
            self._caches, self._current = [], self._current[:0]
            return
        self._current = self._current[mx.array(kept)]
        for cache in self._caches:
            cache.filter(mx.array(kept))

    def _admit(self, count: int) -> None:
        """Let the next prompts join, each group of similar length read together."""
        while count:
            longest = len(self._prompts[self._waiting[0]])
            alike = [row for row in self._waiting[:count] if len(self._prompts[row]) > longest - _ALIKE]
            self._join(alike[:_READ_AT_ONCE])
            del self._waiting[: len(alike[:_READ_AT_ONCE])]
            count -= len(alike[:_READ_AT_ONCE])

    def _join(self, rows: list[int]) -> None:
        suffixes = [self._prompts[row][self._shared :] for row in rows]
        caches = [BatchKVCache.merge([cache] * len(rows)) for cache in self._prefix]
        for cache in caches:
            cache.step = _GROWTH
        _prefill(self._model, caches, [suffix[:-1] for suffix in suffixes])
        if self._rows:
            for mine, new in zip(self._caches, caches, strict=True):
                mine.extend(new)
        else:
            self._caches = caches
        self._rows += rows
        self._current = mx.concatenate([self._current, mx.array([suffix[-1] for suffix in suffixes])])


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, short of the whole of the shortest."""
    shortest = min(len(prompt) for prompt in prompts)
    return min(shortest - 1, *(common_prefix_len(prompts[0], prompt) for prompt in prompts))


def _read_prefix(model: nn.Module, tokens: list[int]) -> list[KVCache]:
    """Caches that hold these tokens; empty ones where there are none."""
    caches = make_prompt_cache(model)
    if tokens:
        model(mx.array([tokens]), cache=caches)
        mx.eval([cache.state for cache in caches])
    return caches


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
