"""Measures the baseline's and the change's variant in turn, A B B A, in one job: two processes, one at work at a time.

A shared machine's speed changes by the second and from core to core, so both sides are tied to the same cores and take
turns in the smallest steps there are: one load, one prompt read, one token. Neighbours in time are compared.
Where a process happens to lie in memory makes it faster or slower for as long as it lives, by a percent or more:
every block has processes of its own (Mytkowicz and others (2009), ASPLOS XIV, 265-276).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from phase8.core.machine import has_fast_quantised_kernels
from phase8.measure import machine_noise as disturbance
from phase8.measure.process import COMMAND, MeasuredProcess
from phase8.measure.side_by_side import shares
from phase8.profile.terms import Quantity
from phase8.record.ab_blocks import ORDER, SIDES, Block, Side

_QUERIED = ("ttft_warm_s", "query_s")
_FIXED = ("prefill_s", "token_s")
_WARM_TOKENS = 4
_GENERATED = ("query_s", "token_s")
_STEPS: dict[Quantity, tuple[str, str]] = {
    "load_s": ("load", "load_s"),
    "ttft_cold_s": ("cold", "ttft_cold_s"),
    "ttft_warm_s": ("advance 1", "first_s"),
    "prefill_s": ("advance 1", "first_s"),
}


class Measurable(NamedTuple):
    """One side of one variant: its ``Work`` as JSON, its canonical queries by name, and who measures it, from where."""

    work: str
    queries: tuple[str, ...]
    command: tuple[str, ...] = tuple(COMMAND)
    folder: Path | None = None


Values = dict[Side, dict[str, list[float]]]


class BlockRun:
    """Both sides of one variant for one block, loaded and at rest until it is asked for; open while its context lasts.

    ``seconds`` is how long a block stays with each of ``quantities``, at the least one A B B A of it. ``number`` is
    the block's among those of its variant: it says with which query it begins, and which side does.
    """

    def __init__(
        self,
        variant: str,
        sides: Mapping[Side, Measurable],
        quantities: Iterable[Quantity],
        seconds: float,
        number: int = 0,
    ) -> None:
        self._variant, self._sides, self._seconds = variant, sides, seconds
        self._quantities = frozenset(quantities)
        self._processes: dict[Side, MeasuredProcess] = {}
        self._passes = 2 * number
        self._order = ORDER if number % 2 == 0 else tuple(SIDES[1 - SIDES.index(side)] for side in ORDER)
        shared = [name for name in sides["baseline"].queries if name in sides["change"].queries]
        self._queries = [{side: sides[side].queries.index(name) for side in SIDES} for name in shared]

    def __enter__(self) -> BlockRun:
        """Start both processes, each on its own share of the cores; each does once, uncounted, what will be timed.

        Raises:
            InvalidInput: one of them cannot be measured.
        """
        cores = [[], []] if has_fast_quantised_kernels() else shares(2)
        with ExitStack() as stack:
            for side, own in zip(SIDES, cores, strict=True):
                given = self._sides[side]
                process = MeasuredProcess(f"{self._variant} ({side})", given.work, own, given.command, given.folder)
                self._processes[side] = stack.enter_context(process)
            for step in self._first_steps():
                self._both(step)
            if cores[0]:
                for process in self._processes.values():
                    process.tie(cores[0])
            for side in self._order[1::-1]:
                self._do(side, "load")  # the first one where it now is takes longer
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def block(self, highest_mhz: float | None = None) -> Block:
        """The block, with what the machine's counters said meanwhile; ``highest_mhz`` is the clock of earlier ones.

        Raises:
            InvalidInput: one of the processes ended.
        """
        pids = [process.pid for process in self._processes.values()]
        before = disturbance.read(pids)
        found = self._block()
        counters = disturbance.between(before, disturbance.read(pids))
        dropped = disturbance.why_dropped(counters, highest_mhz)
        values = {side: {name: tuple(one) for name, one in found[side].items()} for side in SIDES}
        return Block(baseline=values["baseline"], change=values["change"], counters=counters, dropped=dropped)

    def _first_steps(self) -> list[str]:
        """What both sides do before anything counts: whatever will be timed, once."""
        steps = ["load"]
        steps += ["cold"] if "ttft_cold_s" in self._quantities else []
        steps += ["query 0"] if self._queries and self._quantities & set(_QUERIED) else []
        fixed = ["open_fixed", f"advance {_WARM_TOKENS}"]
        return steps + (fixed if self._quantities & set(_FIXED) else [])

    def _block(self) -> Values:
        found: Values = {side: {name: [] for name in sorted(self._quantities)} for side in SIDES}
        for quantity in sorted(self._quantities):
            if quantity in _QUERIED and not self._queries:
                continue
            until = time.monotonic() + self._seconds
            while True:
                self._turn(quantity, found)
                if time.monotonic() >= until:
                    break
        return found

    def _turn(self, quantity: Quantity, found: Values) -> None:
        """At least one A B B A of a quantity."""
        if quantity in _GENERATED:
            for _ in range(2):
                self._generation(quantity, found)
            return
        self._passes += 1
        for side in self._order:
            if opening := self._opening(side, quantity):
                self._do(side, opening)
            step, measured = _STEPS[quantity]
            value = self._do(side, step)[measured]
            found[side][quantity].append(value[0] if isinstance(value, list) else value)

    def _generation(self, quantity: Quantity, found: Values) -> None:
        """One generation on both sides, token by token; who begins changes with each token and each generation."""
        self._passes += 1
        for side in SIDES:
            self._do(side, self._opening(side, quantity))
        turn, going = self._passes, set(SIDES)
        spent: dict[Side, list[float]] = {side: [] for side in SIDES}
        while going:
            for side in self._order[:2] if turn % 2 else self._order[2:]:
                if side not in going:
                    continue
                step = self._do(side, "advance 1")
                spent[side].append(step["total_s"])
                if step["ended"]:
                    going.discard(side)
            turn += 1
        for side in SIDES:
            # The first token comes out of reading; the last step of fixed work finds nothing more to compute.
            found[side][quantity] += [sum(spent[side])] if quantity == "query_s" else spent[side][1:-1]

    def _opening(self, side: Side, quantity: Quantity) -> str:
        """What is made ready, untimed, before a quantity is measured."""
        if quantity in _QUERIED:
            return f"open_query {self._queries[self._passes // 2 % len(self._queries)][side]}"
        return "open_fixed" if quantity in _FIXED else ""

    def _both(self, step: str) -> None:
        """A step on both sides at once, untimed."""
        for process in self._processes.values():
            process.ask(step)
        for process in self._processes.values():
            process.answer()

    def _do(self, side: Side, step: str) -> dict[str, Any]:
        self._processes[side].ask(step)
        return self._processes[side].answer()
