"""Progress of long work: a live bar with an ETA on a terminal, plain lines elsewhere (a CI log, a file)."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 15


class Report:
    """Tells how far training is. Writes to standard error."""

    def __init__(self, iterations: int, done: int) -> None:
        self._console = Console(stderr=True)
        self._iterations, self._start = iterations, done
        self._began = self._told = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(
            *columns,
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=iterations, completed=done)

    def __enter__(self) -> Report:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def iteration(self, done: int) -> None:
        """So many iterations are finished."""
        self._bar.update(self._task, completed=done)

    def loss(self, iteration: int, loss: float) -> None:
        """The mean training loss of the last iterations; off a terminal, a line with the time left now and then."""
        self._bar.update(self._task, description=f"training, loss {loss:.2f}")
        now = time.monotonic()
        if self._console.is_terminal or (now - self._told < _SECONDS_BETWEEN_LINES and iteration < self._iterations):
            return
        self._told = now
        left = (now - self._began) / max(1, iteration - self._start) * (self._iterations - iteration)
        self._console.print(
            f"training: {iteration} of {self._iterations} iterations, loss {loss:.2f}, about {left:.0f} s left",
            highlight=False,
        )


class Count:
    """Tells how many of several pieces of work are finished. Writes to standard error."""

    def __init__(self, what: str, total: int) -> None:
        self._console = Console(stderr=True)
        self._what, self._total, self._done = what, total, 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Count:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def one(self, text: str) -> None:
        """One more is finished; ``text`` says which."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        self._console.print(f"{self._what}: {self._done} of {self._total}: {text}", highlight=False)


class Amount:
    """Tells how much of one long piece of work is done, in units of its own. Writes to standard error."""

    def __init__(self, what: str, total: int) -> None:
        self._console = Console(stderr=True)
        self._what, self._total, self._done = what, total, 0
        self._began = self._told = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(
            *columns,
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Amount:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, done: int) -> None:
        """So much more is finished; off a terminal, a line with the time left now and then."""
        self._done += done
        self._bar.update(self._task, completed=self._done)
        now = time.monotonic()
        if self._console.is_terminal or now - self._told < _SECONDS_BETWEEN_LINES:
            return
        self._told = now
        left = (now - self._began) / max(1, self._done) * (self._total - self._done)
        self._console.print(
            f"{self._what}: {self._done / max(1, self._total):.0%}, about {left:.0f} s left", highlight=False
        )
