"""Replies written in several ways, in a process that holds nothing else.

Run as ``python -m phase8.engine.timing.audit_worker``.
The first line it reads is a list of ``AuditWork``, every further line ``audit NUMBER``; each is answered with an
``AuditRecord`` as a line of JSON. The weights are those that replies are judged on.
"""

import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.generate import BatchGenerator, generate_step
from mlx_lm.models.cache import KVCache, make_prompt_cache
from mlx_lm.tokenizer_utils import TokenizerWrapper
from pydantic import TypeAdapter

from phase8.cases.jobs import AuditWork
from phase8.engine.cpu import keep_freed_memory
from phase8.engine.generate.batched import Generated, greedy
from phase8.engine.generate.divergence import Asked, parting
from phase8.engine.load.chat import case_tokens, stop_ids
from phase8.engine.load.models import load_fast
from phase8.engine.timing.latency import Prompts
from phase8.record.audit import AuditedPrompt, AuditRecord, Odds, Parting, Way
from phase8.stats.top_logprobs import odds

_WORKS = TypeAdapter(list[AuditWork])


class Cold(NamedTuple):
    """A reply with nothing cached, and the odds at its first tokens; the one after the last is the stop token's."""

    reply: Generated
    odds: tuple[Odds, ...]


def audited(work: AuditWork) -> AuditRecord:
    """Every prompt of the work, written in every way, and where each parts from the judged reply."""
    start = time.perf_counter()
    model, tokenizer = load_fast(work.folder, work.adapter)
    stops = stop_ids(tokenizer, work.prompting.stop_sequences)
    asked = [
        Asked(case, case_tokens(tokenizer, case, list(work.tools), work.prompting), work.prompting, work.tools)
        for case in work.cases
    ]
    found = _prompts(work, model, tokenizer, stops, asked)
    return AuditRecord(prompts=tuple(found), side_by_side=len(asked), seconds=round(time.perf_counter() - start, 2))


def _prompts(
    work: AuditWork, model: nn.Module, tokenizer: TokenizerWrapper, stops: set[int], asked: Sequence[Asked]
) -> list[AuditedPrompt]:
    prompts = [one.prompt for one in asked]
    if not prompts:
        return []
    limit, kept = work.prompting.max_tokens, Prompts(model, prompts)
    once, again = (greedy(model, tokenizer, prompts, stops, limit) for _ in range(2))
    cold = cold_replies(model, prompts, stops, limit, work.audit.positions, work.audit.likeliest)
    found = []
    for i, (one, judged) in enumerate(zip(asked, work.judged, strict=True)):
        first = Generated(tokens=judged.tokens, finish=judged.finish)
        pairs: dict[Way, tuple[Generated, Generated]] = {"again": (again[i], once[i]), "batch": (once[i], first)}
        pairs["cold"] = cold[i].reply, first
        if one.case.id not in work.timed:
            tokens = kept.answer(one.prompt, stops, limit).tokens
            ended = "length" if len(tokens) == limit else "stop"
            pairs["alone"] = Generated(tokens=tokens, finish=ended), first
        parted: dict[Way, Parting] = {
            way: parting(one, kept, tokenizer, stops, mine, other)
            for way, (mine, other) in pairs.items()
            if mine.tokens != other.tokens
        }
        known = parted["cold"].position + 1 if "cold" in parted else None
        found.append(
            AuditedPrompt.model_validate(
                {
                    "suite": one.case.suite,
                    "turn": one.case.turn,
                    "case": one.case.id,
                    "compared": tuple(pairs),
                    "parted": parted,
                    "odds": cold[i].odds[:known],
                }
            )
        )
    return found


def cold_replies(
    model: nn.Module, prompts: Sequence[list[int]], stops: set[int], limit: int, positions: int, likeliest: int
) -> list[Cold]:
    """A greedy reply to each whole prompt by mlx-lm's ``BatchGenerator``, all side by side, nothing cached before.

    Prompts are answered one at a time where the model's cache cannot be batched. ``odds`` are of the log-probabilities
    that mlx-lm draws from, ``likeliest`` tokens of each of the first ``positions``.
    """
    if not all(type(cache) is KVCache for cache in make_prompt_cache(model)):
        return [_one_cold(model, prompt, stops, limit, positions, likeliest) for prompt in prompts]
    generator = BatchGenerator(
        model,
        stop_tokens=[[stop] for stop in sorted(stops)],
        completion_batch_size=len(prompts),
        prefill_batch_size=len(prompts),
    )
    writing = [_Writing(positions, likeliest) for _ in prompts]
    rows = dict(zip(generator.insert([list(p) for p in prompts], [limit] * len(prompts)), writing, strict=True))
    while responses := generator.next_generated():
        for response in responses:
            rows[response.uid].take(response.token, response.logprobs, response.finish_reason == "stop")
    generator.close()
    return [row.cold() for row in writing]


def _one_cold(model: nn.Module, prompt: list[int], stops: set[int], limit: int, positions: int, likeliest: int) -> Cold:
    writing = _Writing(positions, likeliest)
    for token, log_probabilities in generate_step(mx.array(prompt), model, max_tokens=limit):
        writing.take(int(token), log_probabilities, int(token) in stops)
        if int(token) in stops:
            break
    return writing.cold()


class _Writing:
    """One reply as it grows."""

    def __init__(self, positions: int, likeliest: int) -> None:
        self._positions, self._likeliest = positions, likeliest
        self._tokens: list[int] = []
        self._odds: list[Odds] = []
        self._stopped = False

    def take(self, token: int, log_probabilities: mx.array, stops: bool) -> None:
        """One more token and the log-probabilities (V,) it was drawn from."""
        if len(self._odds) < self._positions:
            self._odds.append(odds(np.array(log_probabilities.astype(mx.float32)), self._likeliest))
        self._stopped = stops
        if not stops:
            self._tokens.append(token)

    def cold(self) -> Cold:
        """What was written."""
        finish = "stop" if self._stopped else "length"
        return Cold(Generated(tokens=tuple(self._tokens), finish=finish), tuple(self._odds))


def main() -> None:
    """Audit as the lines on standard input say."""
    works = _WORKS.validate_json(sys.stdin.readline())
    keep_freed_memory()
    for line in sys.stdin:
        _, number = line.split()
        print(audited(works[int(number)]).model_dump_json(), flush=True)
        mx.clear_cache()  # the next model's weights may have other shapes


if __name__ == "__main__":
    main()
