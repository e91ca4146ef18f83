"""Prompts that are read once and continued in several ways: teacher-forced, or greedily.

A prompt's keys and values are the same whatever follows. Where the model's cache can be batched,
a batch of prompts is read into it, and after each continuation the cache is cut back to where they end.
Other models read prompt and continuation anew, row by row.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import BatchKVCache, KVCache, make_prompt_cache
from mlx_lm.tokenizer_utils import TokenizerWrapper

from phase8.engine.arrays import to_ints
from phase8.engine.generate.batched import Generated, greedy, shared_prefix
from phase8.engine.train.loss import can_be_parted

_GROWTH = 64


class Reader:
    """A model, how its head is reached, and the beginning that all prompts share, read once."""

    def __init__(self, model: nn.Module, tokenizer: TokenizerWrapper, prompts: Sequence[Sequence[int]]) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer
        self.parted = can_be_parted(model)
        self.batched = all(type(cache) is KVCache for cache in make_prompt_cache(model))
        self.shared = shared_prefix(prompts) if self.batched and len(prompts) > 1 else 0
        self.prefix = make_prompt_cache(model)
        if self.shared:
            model(mx.array([list(prompts[0][: self.shared])]), cache=self.prefix)
            mx.eval([cache.state for cache in self.prefix])

    def hidden(self, tokens: mx.array, caches: list[Any] | None) -> mx.array:
        """States (B, L, D) that ``logits`` takes; the logits themselves where body and head cannot be parted."""
        return self.model.model(tokens, cache=caches) if self.parted else self.model(tokens, cache=caches)

    def logits(self, hidden: mx.array) -> mx.array:
        """Logits (N, V) in float32 of states (N, D)."""
        if self.parted:
            head = self.model.lm_head if "lm_head" in self.model else self.model.model.embed_tokens.as_linear
            hidden = head(hidden)
        return hidden.astype(mx.float32)


class Branches:
    """One batch of prompts, of similar length at best, read up to their last token."""

    def __init__(self, reader: Reader, prompts: Sequence[Sequence[int]]) -> None:
        self._reader, self._prompts = reader, [list(prompt) for prompt in prompts]
        self._caches: list[BatchKVCache] = []
        if reader.batched:
            self._caches = [BatchKVCache.merge([cache] * len(prompts)) for cache in reader.prefix]
            self._read([prompt[reader.shared : -1] for prompt in self._prompts])

    def after(self, continuations: Sequence[Sequence[int]], only: Sequence[int] | None = None) -> list[mx.array]:
        """For each prompt the states (L, D) at which the L tokens of its continuation are to be written.

        With ``only`` these are the prompts of these numbers, which is the last that can be asked of this batch.
        """
        if only is not None:
            self._keep(only)
            continuations = [continuations[i] for i in only]
        fed = [[prompt[-1], *more[:-1]] for prompt, more in zip(self._prompts, continuations, strict=True)]
        if not self._reader.batched:
            whole = [mx.array([prompt[:-1] + row]) for prompt, row in zip(self._prompts, fed, strict=True)]
            return [self._reader.hidden(r, None)[0, -len(row) :] for r, row in zip(whole, fed, strict=True)]
        longest = max(map(len, fed))
        states = self._reader.hidden(mx.array([row + [0] * (longest - len(row)) for row in fed]), self._caches)
        mx.eval(states)
        for cache in self._caches:
            cache.trim(longest)
        return [states[i, : len(row)] for i, row in enumerate(fed)]

    def greedy(self, stops: set[int], max_tokens: int) -> list[Generated]:
        """A greedy reply to each prompt, cut at ``max_tokens``."""
        if not self._reader.batched:
            return greedy(self._reader.model, self._reader.tokenizer, self._prompts, stops, max_tokens)
        current = mx.array([prompt[-1] for prompt in self._prompts])
        written: list[list[int]] = [[] for _ in self._prompts]
        ended: set[int] = set()
        steps = 0
        while steps < max_tokens and len(ended) < len(written):
            states = self._reader.hidden(current[:, None], self._caches)[:, -1]
            current = mx.argmax(self._reader.logits(states), axis=-1)
            steps += 1
            for row, token in enumerate(to_ints(current)):
                if row not in ended and token in stops:
                    ended.add(row)
                elif row not in ended:
                    written[row].append(token)
        for cache in self._caches:
            cache.trim(steps)
        return [
            Generated(tokens=tuple(tokens), finish="stop" if row in ended else "length")
            for row, tokens in enumerate(written)
        ]

    def _keep(self, only: Sequence[int]) -> None:
        self._prompts = [self._prompts[i] for i in only]
        for cache in self._caches:
            cache.filter(mx.array(list(only)))

    def _read(self, parts: list[list[int]]) -> None:
        """Add the rest of each prompt to its row; shorter ones are padded right, then rolled into place."""
        longest = max(map(len, parts))
        if not longest:
            return
        padding = [longest - len(part) for part in parts]
        for cache in self._caches:
            cache.step = _GROWTH
            cache.prepare(lengths=[len(part) for part in parts], right_padding=padding)
        self._reader.hidden(
            mx.array([part + [0] * pad for part, pad in zip(parts, padding, strict=True)]), self._caches
        )
        for cache in self._caches:
            cache.finalize()
        mx.eval([cache.state for cache in self._caches])
