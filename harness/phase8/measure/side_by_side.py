"""Variants measured side by side, each as shipped and in a process of its own, in step with each other.

On a CPU MLX's quantised kernels use one core, so two variants are measured at once, each on one half of the cores:
both are disturbed alike, by each other and by whatever else the machine does. On a GPU one is measured at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from phase8.cases.jobs import Work
from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import psutil
from phase8.core.machine import has_fast_quantised_kernels, this_machine
from phase8.core.values import Frozen
from phase8.measure.process import COMMAND, MeasuredProcess
from phase8.record.run import Divergence, Memory, Samples

_WHAT = {
    "load_s": ("s", "load the weights"),
    "ttft_cold_s": ("s", "first canonical query, nothing cached, to the first token"),
    "ttft_warm_s": ("s", "each canonical query, system prompt cached, to the first token"),
    "query_s": ("s", "each canonical query end to end, system prompt cached"),
    "prefill_tokens_per_s": (
        "tokens/s",
        "fixed work ({fixed}): tokens read over seconds to the first token, a value a round",
    ),
    "token_s": ("s", "fixed work ({fixed}): seconds between decoded tokens, a value a token"),
    "decode_tokens_per_s": (
        "tokens/s",
        "fixed work ({fixed}): tokens written after the first over their seconds, a value a round",
    ),
    "fixed_work_s": ("s", "fixed work ({fixed}): seconds a round"),
}


class Measurement(Frozen):
    """What was measured of one variant: samples by quantity, memory, and the timed replies to canonical queries.

    ``tokens`` are those of each timed reply by case; ``divergences`` say where they part from the judged ones.
    """

    samples: dict[str, Samples]
    memory: Memory
    tokens: dict[str, tuple[int, ...]]
    divergences: tuple[Divergence, ...]


def at_once() -> int:
    """How many variants are measured at the same time."""
    return 1 if has_fast_quantised_kernels() else min(2, this_machine().cores)


def measure(works: Mapping[str, Work]) -> dict[str, Measurement | InvalidInput]:
    """Measure these variants of one profile at the same time: none begins a step before all have ended the last.

    A variant whose process fails gives what went wrong; the others are measured to their end.
    """
    with contextlib.ExitStack() as open_processes:
        cores = shares(len(works))
        processes = {
            name: open_processes.enter_context(_Measuring(name, work, share))
            for (name, work), share in zip(works.items(), cores, strict=True)
        }
        for step in next(iter(works.values())).steps():
            for process in processes.values():
                process.ask(step)
            for process in processes.values():
                process.answer(step)
        return {name: process.measurement(_beside(name, processes)) for name, process in processes.items()}


def _beside(name: str, processes: Mapping[str, _Measuring]) -> str:
    """What a variant was measured beside."""
    others = [process for other, process in processes.items() if other != name]
    lived = sum(process.lived for process in others)
    if lived < len(others):
        return f", beside {lived} other variants and {len(others) - lived} whose process failed"
    return f", beside {len(others)} other variant" if others else ""


def shares(count: int) -> list[list[int]]:
    """The cores for each of ``count`` processes; empty where the system does not let processes be tied to cores."""
    here = psutil.Process()
    cores = here.cpu_affinity() if hasattr(here, "cpu_affinity") else []
    size = len(cores) // count
    return [cores[i * size : (i + 1) * size] if count > 1 else [] for i in range(count)]


class _Measuring:
    """One variant's process and what it has measured so far; a failure is kept, and the others go on."""

    def __init__(self, name: str, work: Work, cores: Sequence[int]) -> None:
        self._work = work
        self._process = MeasuredProcess(name, work.model_dump_json(), cores, COMMAND)
        self._samples: dict[str, list[float]] = {}
        self._found: dict[str, dict[str, Any]] = {}
        self._failure: InvalidInput | None = None

    def __enter__(self) -> _Measuring:
        self._process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def ask(self, step: str) -> None:
        """Let the process begin a step, if it has not failed."""
        if self._failure is None:
            self._process.ask(step)

    def answer(self, step: str) -> None:
        """Wait for the end of the step and keep what was measured."""
        if self._failure is not None:
            return
        try:
            found = self._process.answer()
        except InvalidInput as failure:
            self._failure = failure
            return
        if step in ("memory", "agreement"):
            self._found[step] = found
            return
        for quantity, values in found.items():
            self._samples.setdefault(quantity, []).extend(values)

    @property
    def lived(self) -> bool:
        """Whether the process has answered every step so far."""
        return self._failure is None

    def measurement(self, beside: str) -> Measurement | InvalidInput:
        """Everything measured, or why not."""
        if self._failure is not None:
            return self._failure
        fixed = f"{self._work.latency.prefill_tokens} tokens read, {self._work.latency.decode_tokens} written"
        samples = {
            name: Samples(unit=_WHAT[name][0], values=tuple(values), what=_WHAT[name][1].format(fixed=fixed) + beside)
            for name, values in self._samples.items()
        }
        return Measurement(samples=samples, memory=self._found["memory"], **self._found["agreement"])
