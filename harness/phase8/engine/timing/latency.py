"""Timed work on a model as shipped, on its real kernels, one prompt at a time.

The functions do the work and take the times inside it; pytest-benchmark repeats
them. Tokens are produced by mlx-lm's own ``generate_step``.
"""

import copy
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from phase8.engine.generate.batched import shared_prefix


@dataclass(frozen=True)
class Timed:
    """One timed generation: seconds to the first token, between later ones, and in all."""

    tokens: tuple[int, ...]
    first_token_s: float
    between_tokens_s: tuple[float, ...]
    total_s: float


def generate_timed(
    model: nn.Module, prompt: list[int], stops: set[int], max_tokens: int, cache: list[Any] | None = None
) -> Timed:
    """One greedy reply of at most ``max_tokens`` tokens. ``cache`` may hold the beginning of the prompt and is used up.

    A stop token counts in the times and is left out of the tokens.
    """
    tokens: list[int] = []
    times: list[float] = []
    start = time.perf_counter()
    steps = generate_step(mx.array(prompt), model, max_tokens=max_tokens, prompt_cache=cache)
    # mlx-lm annotates the token as an array and yields an int.
    for token, _ in cast("Iterator[tuple[int, mx.array]]", steps):
        times.append(time.perf_counter())
        if token in stops:
            break
        tokens.append(token)
    mx.synchronize()
    gaps = tuple(b - a for a, b in itertools.pairwise(times))
    return Timed(tuple(tokens), times[0] - start, gaps, times[-1] - start)


class Stepwise:
    """A greedy reply that goes on by some tokens when asked, and leaves nothing running in between.

    mlx-lm computes the next token while one is read; it is waited for, and counted, before a step ends.
    """

    def __init__(
        self, model: nn.Module, prompt: list[int], stops: set[int], max_tokens: int, cache: list[Any] | None = None
    ) -> None:
        steps = generate_step(mx.array(prompt), model, max_tokens=max_tokens, prompt_cache=cache)
        self._steps, self._stops = cast("Iterator[tuple[int, mx.array]]", steps), stops

    def advance(self, count: int) -> tuple[float, float, bool]:
        """At most ``count`` more tokens: seconds to the first of them, seconds in all, whether the reply has ended."""
        start, first_s, ended = time.perf_counter(), 0.0, True
        for token, _ in itertools.islice(self._steps, count):
            first_s = first_s or time.perf_counter() - start
            ended = token in self._stops
            if ended:
                break
        mx.synchronize()
        return first_s, time.perf_counter() - start, ended


class Prompts:
    """Prompts that begin alike (system prompt and template): read cold once, then answered from that cache."""

    def __init__(self, model: nn.Module, prompts: list[list[int]]) -> None:
        self.model = model
        self.prompts = prompts
        self.shared = shared_prefix(prompts)
        self._cache: list[Any] | None = None

    def first_token_cold_s(self) -> float:
        """Seconds to the first token of the first prompt with nothing cached; its beginning stays cached."""
        cache = make_prompt_cache(self.model)
        timed = generate_timed(self.model, self.prompts[0], set(), 1, cache)
        if can_trim_prompt_cache(cache):
            trim_prompt_cache(cache, cache[0].offset - self.shared)
            self._cache = cache
        return timed.first_token_s

    def answer(self, prompt: list[int], stops: set[int], max_tokens: int) -> Timed:
        """A timed reply to one of the prompts, its shared beginning cached; copying the cache is not timed."""
        return generate_timed(self.model, prompt[self.shared :], stops, max_tokens, self._copied(prompt))

    def stepwise(self, prompt: list[int], stops: set[int], max_tokens: int) -> Stepwise:
        """The same reply, step by step."""
        return Stepwise(self.model, prompt[self.shared :], stops, max_tokens, self._copied(prompt))

    def _copied(self, prompt: list[int]) -> list[Any]:
        if self._cache is None:
            self._cache = make_prompt_cache(self.model)
            self.model(mx.array([prompt[: self.shared]]), cache=self._cache)
            mx.eval([cache.state for cache in self._cache])
        return copy.deepcopy(self._cache)

    def gap(self, prompt: list[int], written: Sequence[int], own: Iterable[int], other: Iterable[int]) -> float:
        """How much likelier, in nats, one of the tokens ``own`` is than ``other`` after prompt and ``written``."""
        cache = copy.deepcopy(self._cache) if self._cache else None
        rest = [*prompt[self.shared if cache else 0 :], *written]
        logits = self.model(mx.array([rest]), cache=cache)[0, -1].astype(mx.float32)
        return float((logits[mx.array([*own])].max() - logits[mx.array([*other])].max()).item())


def fixed_work(model: nn.Module, prefill_tokens: int, decode_tokens: int) -> Timed:
    """Read and write a fixed number of tokens, whatever they are: work that no reply's length can change.

    The first token comes out of reading; ``decode_tokens`` more are written, with as many times between them.
    """
    return generate_timed(model, _fixed_prompt(prefill_tokens), set(), decode_tokens + 1)


def fixed_stepwise(model: nn.Module, prefill_tokens: int, decode_tokens: int) -> Stepwise:
    """The same fixed work, step by step."""
    return Stepwise(model, _fixed_prompt(prefill_tokens), set(), decode_tokens + 1)


def _fixed_prompt(tokens: int) -> list[int]:
    return [1 + i % 97 for i in range(tokens)]
