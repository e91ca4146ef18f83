"""Progress of long work: a live bar with an ETA on a terminal, plain lines elsewhere (a CI log, a file)."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 15


class _Told:
    """A bar on a terminal; off one, whatever its lines say. Writes to standard error."""

    def __init__(self, what: str, total: int, *columns: ProgressColumn, done: int = 0) -> None:
        self._console = Console(stderr=True)
        self._what, self._total, self._start, self._done = what, total, done, done
        self._began = self._told = time.monotonic()
        shown = (TextColumn("{task.description}"), BarColumn(), *columns)
        self._bar = Progress(*shown, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(what, total=total, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _say(self, text: str) -> None:
        self._console.print(f"{self._what}: {text}", highlight=False)

    def _is_due(self, *, last: bool = False) -> bool:
        """Whether a line is to be written: off a terminal, now and then, and the last one always."""
        now = time.monotonic()
        if self._console.is_terminal or (now - self._told < _SECONDS_BETWEEN_LINES and not last):
            return False
        self._told = now
        return True

    def _left_s(self, done: int) -> float:
        """Seconds left at the rate so far."""
        return (time.monotonic() - self._began) / max(1, done - self._start) * (self._total - done)


class Report(_Told):
    """Tells how far training is."""

    def __init__(self, iterations: int, done: int) -> None:
        left = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        super().__init__("training", iterations, *left, done=done)

    def iteration(self, done: int) -> None:
        """So many iterations are finished."""
        self._bar.update(self._task, completed=done)

    def loss(self, iteration: int, loss: float) -> None:
        """The mean training loss of the last iterations; off a terminal, a line with the time left now and then."""
        self._bar.update(self._task, description=f"training, loss {loss:.2f}")
        if self._is_due(last=iteration == self._total):
            left = self._left_s(iteration)
            self._say(f"{iteration} of {self._total} iterations, loss {loss:.2f}, about {left:.0f} s left")


class Count(_Told):
    """Tells how many of several pieces of work are finished."""

    def __init__(self, what: str, total: int) -> None:
        super().__init__(what, total, MofNCompleteColumn(), TimeElapsedColumn())

    def one(self, text: str) -> None:
        """One more is finished; ``text`` says which."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        self._say(f"{self._done} of {self._total}: {text}")


class Amount(_Told):
    """Tells how much of one long piece of work is done, in units of its own."""

    def __init__(self, what: str, total: int) -> None:
        left = (TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        super().__init__(what, total, *left)

    def add(self, done: int) -> None:
        """So much more is finished; off a terminal, a line with the time left now and then."""
        self._done += done
        self._bar.update(self._task, completed=self._done)
        if self._is_due():
            self._say(f"{self._done / max(1, self._total):.0%}, about {self._left_s(self._done):.0f} s left")
