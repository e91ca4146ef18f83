"""Measures the baseline's and the change's variant in turn, A B B A, in one job: two processes, one at work at a time.

A shared machine's speed changes by the second and from core to core, so both sides are tied to the same cores and take
turns in the smallest steps there are: one load, one prompt read, one token. Neighbours in time are compared.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from harness import disturbance
from harness.block_record import ORDER, SIDES, Block, Side
from harness.machine import has_fast_quantised_kernels
from harness.measure import shares
from harness.measured_process import COMMAND, MeasuredProcess
from harness.profile import Quantity

_STEPS = {"load_s": "load", "ttft_cold_s": "cold"}
_QUERY = ("ttft_warm_s", "query_s")
_FIXED = ("prefill_s", "token_s")


class Measurable(NamedTuple):
    """One side of one variant: its ``Work`` as JSON, its canonical queries by name, and who measures it, from where."""

    work: str
    queries: tuple[str, ...]
    command: tuple[str, ...] = tuple(COMMAND)
    folder: Path | None = None


Values = dict[Side, dict[str, list[float]]]


class BlockRun:
    """Both sides of one variant, loaded and at rest until a block is asked for; open while its context lasts.

    ``seconds`` is how long a block stays with each of ``quantities``, at the least one A B B A of it.
    """

    def __init__(
        self, variant: str, sides: Mapping[Side, Measurable], quantities: Iterable[Quantity], seconds: float
    ) -> None:
        self._variant, self._sides, self._seconds = variant, sides, seconds
        self._quantities = frozenset(quantities)
        self._processes: dict[Side, MeasuredProcess] = {}
        self._highest_mhz: float | None = None
        self._passes = 0
        shared = [name for name in sides["baseline"].queries if name in sides["change"].queries]
        self._queries = [{side: sides[side].queries.index(name) for side in SIDES} for name in shared]

    def __enter__(self) -> BlockRun:
        """Start both processes and let each do everything once, uncounted.

        Raises:
            InvalidInput: one of them cannot be measured.
        """
        cores = [] if has_fast_quantised_kernels() else shares(2)[0]
        with ExitStack() as stack:
            for side in SIDES:
                given = self._sides[side]
                process = MeasuredProcess(f"{self._variant} ({side})", given.work, cores, given.command, given.folder)
                self._processes[side] = stack.enter_context(process)
            for side in SIDES:
                self._do(side, "load")
                self._do(side, "cold")
            self._block(seconds=0)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def block(self) -> Block:
        """One block, with what the machine's counters said meanwhile.

        Raises:
            InvalidInput: one of the processes ended.
        """
        pids = [process.pid for process in self._processes.values()]
        before = disturbance.read(pids)
        found = self._block(self._seconds)
        counters = disturbance.between(before, disturbance.read(pids))
        dropped = disturbance.why_dropped(counters, self._highest_mhz)
        if counters.mhz:
            self._highest_mhz = max(self._highest_mhz or 0.0, counters.mhz)
        values = {side: {name: tuple(one) for name, one in found[side].items()} for side in SIDES}
        return Block(baseline=values["baseline"], change=values["change"], counters=counters, dropped=dropped)

    def _block(self, seconds: float) -> Values:
        found: Values = {side: {name: [] for name in sorted(self._quantities)} for side in SIDES}
        for quantity, step in _STEPS.items():
            if quantity not in self._quantities:
                continue
            until = time.monotonic() + seconds
            while True:
                for side in ORDER:
                    found[side][quantity] += self._do(side, step)[quantity]
                if time.monotonic() >= until:
                    break
        if self._queries:
            self._passes_of(_QUERY, found, seconds)
        self._passes_of(_FIXED, found, seconds)
        return found

    def _passes_of(self, quantities: tuple[str, str], found: Values, seconds: float) -> None:
        """Generations on both sides, two by two, so that each side begins as often as the other."""
        asked = self._quantities & set(quantities)
        until = time.monotonic() + seconds * len(asked)
        while asked:
            for _ in range(2):
                self._passes += 1
                self._generation(quantities, found)
            if time.monotonic() >= until:
                return

    def _generation(self, quantities: tuple[str, str], found: Values) -> None:
        """One generation on both sides, token by token; who begins changes with each token and each generation."""
        for side in SIDES:
            self._do(side, self._opening(side, quantities))
        turn, going = self._passes, set(SIDES)
        first: dict[Side, float] = {}
        spent: dict[Side, list[float]] = {side: [] for side in SIDES}
        while going:
            for side in ORDER[:2] if turn % 2 else ORDER[2:]:
                if side not in going:
                    continue
                step = self._do(side, "advance 1")
                first.setdefault(side, step["first_s"])
                spent[side].append(step["total_s"])
                if step["ended"]:
                    going.discard(side)
            turn += 1
        for side in SIDES:
            # The last step of fixed work finds nothing more to compute.
            later = [sum(spent[side])] if quantities is _QUERY else spent[side][1:-1]
            for quantity, values in zip(quantities, ([first[side]], later), strict=True):
                if quantity in self._quantities:
                    found[side][quantity] += values

    def _opening(self, side: Side, quantities: tuple[str, str]) -> str:
        if quantities is _FIXED:
            return "open_fixed"
        return f"open_query {self._queries[self._passes // 2 % len(self._queries)][side]}"

    def _do(self, side: Side, step: str) -> dict[str, Any]:
        self._processes[side].ask(step)
        return self._processes[side].answer()
