"""A process that measures one variant: asked for a step, it answers with a line of JSON, or it has failed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phase8.core.blas import limited_to
from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import psutil
from phase8.core.project import importable

MODULE = "phase8.engine.timing.worker"
COMMAND = [sys.executable, "-m", MODULE]


class MeasuredProcess:
    """One process of ``phase8.engine.timing.worker``, open while its context lasts.

    ``work`` is a ``Work`` as JSON, given as text since another checkout may spell it in its own way; ``command``
    and ``folder`` say whose Python and whose harness runs; ``cores`` tie it to some cores, where the system can, and
    its BLAS to as many threads. ``tie`` moves it to others later.
    """

    def __init__(
        self,
        name: str,
        work: str,
        cores: Sequence[int] = (),
        command: Sequence[str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self._work, self._cores = work, cores
        self._command, self._folder = command or COMMAND, folder
        self._asked = ""

    def __enter__(self) -> MeasuredProcess:
        threads = limited_to(len(self._cores)) if self._cores else {}
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=os.environ | threads | (importable(self._folder / "harness") if self._folder else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        if self._cores:
            psutil.Process(self._process.pid).cpu_affinity(list(self._cores))
        self._write(self._work)
        return self

    def tie(self, cores: Sequence[int]) -> None:
        """Move all its threads to ``cores`` and let none of them preempt another: Linux only, nothing elsewhere.

        MLX hands its stream's thread one operation after the other. On one core the two threads interrupt each
        other some 150 times a token: an A B B A of tokens varied by 17 %, and by 9 % without (pocket, n=1,700).
        """
        if sys.platform != "linux":
            return
        with contextlib.suppress(psutil.NoSuchProcess):  # what it died of is read with the answer
            for thread in psutil.Process(self._process.pid).threads():
                with contextlib.suppress(ProcessLookupError):  # this thread has ended
                    os.sched_setaffinity(thread.id, cores)
                    with contextlib.suppress(PermissionError):  # some containers forbid it: more noise, nothing wrong
                        os.sched_setscheduler(thread.id, os.SCHED_BATCH, os.sched_param(0))

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    @property
    def pid(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    def ask(self, step: str) -> None:
        """Let it begin a step."""
        self._asked = step
        self._write(step)

    def answer(self) -> dict[str, Any]:
        """Wait for the end of the step that was asked for; what was measured.

        Raises:
            InvalidInput: the process ended instead; what it said, or the signal that killed it.
        """
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            try:
                return json.loads(line)
            except ValueError as error:
                what = f"{self.name} could not be measured ({self._asked.split()[0]})"
                raise InvalidInput(f"{what}: its process wrote {line.strip()[:200]!r} instead of an answer") from error
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip()[-1500:]
        killed = f"its process was killed by signal {-code}, as the system does when memory runs out. "
        raise InvalidInput(
            f"{self.name} could not be measured ({self._asked.split()[0]}): {killed if code < 0 else ''}{said}"
        )

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it died of is read with the answer
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
