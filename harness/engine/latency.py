"""Timed work on a model as shipped, on its real kernels, one prompt at a time.

The functions do the work and take the times inside it; pytest-benchmark repeats
them. Tokens are produced by mlx-lm's own ``generate_step``.
"""

import copy
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache

from harness.engine.generate import shared_prefix


@dataclass(frozen=True)
class Timed:
    """One timed generation: seconds to the first token, between later ones, and in all."""

    tokens: tuple[int, ...]
    first_token_s: float
    between_tokens_s: tuple[float, ...]
    total_s: float
    finish: str


def generate_timed(
    model: nn.Module, prompt: Sequence[int], stops: set[int], max_tokens: int, cache: list[Any] | None = None
) -> Timed:
    """One greedy reply. ``cache`` may hold the beginning of the prompt and is used up.

    A stop token counts in the times and is left out of the tokens.
    """
    tokens, times, finish = [], [], "length"
    start = time.perf_counter()
    for token, _ in generate_step(mx.array(prompt), model, max_tokens=max_tokens + 1, prompt_cache=cache):
        times.append(time.perf_counter())
        if token in stops:
            finish = "stop"
            break
        if len(tokens) == max_tokens:
            break
        tokens.append(token)
    mx.synchronize()
    gaps = tuple(b - a for a, b in itertools.pairwise(times))
    return Timed(tuple(tokens), times[0] - start, gaps, times[-1] - start, finish)


class WarmPrompts:
    """Prompts whose common beginning (system prompt and template) is already in a cache."""

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]]) -> None:
        self.model = model
        self.shared = shared_prefix(prompts)
        self._cache = make_prompt_cache(model)
        if self.shared:
            model(mx.array([list(prompts[0])[: self.shared]]), cache=self._cache)
            mx.eval([cache.state for cache in self._cache])

    def answer(self, prompt: Sequence[int], stops: set[int], max_tokens: int) -> Timed:
        """A timed reply to one of the prompts; the copy of the cache is not timed."""
        return generate_timed(self.model, prompt[self.shared :], stops, max_tokens, copy.deepcopy(self._cache))


def fixed_work(model: nn.Module, prefill_tokens: int, decode_tokens: int) -> Timed:
    """Read and write a fixed number of tokens, whatever they are: work that no reply's length can change."""
    prompt = [1 + i % 97 for i in range(prefill_tokens)]
    return generate_timed(model, prompt, set(), decode_tokens)
