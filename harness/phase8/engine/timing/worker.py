"""One variant under the stopwatch, in a process that holds nothing else.

Run as ``python -m phase8.engine.timing.worker``.
The first line it reads is a ``Work``, every further line one of its steps; each is answered with a line of JSON.
"""

import gc
import json
import sys
import time
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.tokenizer_utils import TokenizerWrapper

from phase8.cases.jobs import Work
from phase8.engine.generate.batched import Generated
from phase8.engine.generate.divergence import Asked, parting
from phase8.engine.load.chat import case_tokens, stop_ids
from phase8.engine.load.models import load_shipped
from phase8.engine.timing.latency import Prompts, Stepwise, fixed_stepwise, fixed_work
from phase8.engine.timing.memory import memory
from phase8.record.run import Divergence, Reply


class _Measured:
    """A variant as shipped, on its real kernels. Every method is a step and gives what it measured."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tokens: dict[str, tuple[int, ...]] = {}
        self._model: nn.Module
        self._tokenizer: TokenizerWrapper
        self._prompts: Prompts
        self._stops: set[int] = set()
        self._open: Stepwise

    def load(self) -> dict[str, Any]:
        """Load the variant as shipped."""
        work, start = self._work, time.perf_counter()
        self._model, self._tokenizer = load_shipped(work.folder, work.adapter)
        seconds = time.perf_counter() - start
        self._stops = stop_ids(self._tokenizer, work.prompting.stop_sequences)
        asked = [case_tokens(self._tokenizer, case, list(work.tools), work.prompting) for case in work.cases]
        self._prompts = Prompts(self._model, asked)
        return {"load_s": [seconds]}

    def cold(self) -> dict[str, Any]:
        """The first canonical query with nothing cached, up to its first token."""
        return {"ttft_cold_s": [self._prompts.first_token_cold_s()]}

    def query(self, number: int) -> dict[str, Any]:
        """One canonical query to its end, the system prompt cached."""
        work, prompt = self._work, self._prompts.prompts[number]
        timed = self._prompts.answer(prompt, self._stops, work.prompting.max_tokens)
        self._tokens[work.cases[number].id] = timed.tokens
        return {"ttft_warm_s": [timed.first_token_s], "query_s": [timed.total_s]}

    def fixed(self) -> dict[str, Any]:
        """The profile's fixed number of tokens read and written."""
        work = self._work.latency
        timed = fixed_work(self._model, work.prefill_tokens, work.decode_tokens)
        between = timed.between_tokens_s
        return {
            "prefill_tokens_per_s": [work.prefill_tokens / timed.first_token_s],
            "token_s": between,
            "decode_tokens_per_s": [len(between) / sum(between)],
            "fixed_work_s": [timed.total_s],
        }

    def open_query(self, number: int) -> dict[str, Any]:
        """Make ready for one canonical query, step by step."""
        work = self._work
        self._open = self._prompts.stepwise(self._prompts.prompts[number], self._stops, work.prompting.max_tokens)
        return {}

    def open_fixed(self) -> dict[str, Any]:
        """Make ready for the profile's fixed work, step by step."""
        self._open = fixed_stepwise(self._model, self._work.latency.prefill_tokens, self._work.latency.decode_tokens)
        return {}

    def advance(self, count: int) -> dict[str, Any]:
        """Some tokens more of what was opened."""
        first_s, total_s, ended = self._open.advance(count)
        return {"first_s": first_s, "total_s": total_s, "ended": ended}

    def memory(self) -> dict[str, Any]:
        """What all this took."""
        work = self._work.latency
        fixed = f"{work.rounds} times {work.prefill_tokens} tokens read and {work.decode_tokens} written"
        return memory(f"load, {len(self._work.cases)} canonical queries, {fixed}").model_dump()

    def agreement(self) -> dict[str, Any]:
        """The tokens of every timed reply, and where one parts from the judged reply to its query."""
        other = [r for r in self._work.judged if self._tokens.get(r.case, r.tokens) != r.tokens]
        return {"tokens": self._tokens, "divergences": [self._divergence(reply).model_dump() for reply in other]}

    def _divergence(self, judged: Reply) -> Divergence:
        work, mine = self._work, self._tokens[judged.case]
        number = next(i for i, case in enumerate(work.cases) if case.id == judged.case)
        written = Generated(tokens=mine, finish="length" if len(mine) == work.prompting.max_tokens else "stop")
        asked = Asked(work.cases[number], self._prompts.prompts[number], work.prompting, work.tools)
        other = Generated(tokens=judged.tokens, finish=judged.finish)
        found = parting(asked, self._prompts, self._tokenizer, self._stops, written, other)
        return Divergence(case=judged.case, **found.model_dump())


def main() -> None:
    """Measure as the lines on standard input say."""
    measured = _Measured(Work.model_validate_json(sys.stdin.readline()))
    # A load makes enough objects to set off a search of all that was ever imported, sometimes: a third of its noise.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        step, *arguments = line.split()
        found = getattr(measured, step)(*map(int, arguments))
        mx.synchronize()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
