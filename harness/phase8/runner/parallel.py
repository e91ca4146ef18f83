"""Work on several variants at once: on a CPU half of the work of a reply is not BLAS and uses one core."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from phase8.core.artefact import Step
from phase8.core.blas import limited_to
from phase8.core.errors import InvalidInput
from phase8.core.machine import has_fast_quantised_kernels, this_machine
from phase8.core.progress import Count
from phase8.runner.estimate import answering_gb, usable_memory
from phase8.stages.flow import Flow, Variant
from phase8.survival.stage import SurvivalStage

AT_ONCE = 2


def ask(flow: Flow, names: Sequence[str], build: Path) -> None:
    """Make the replies of every named variant that has none yet, each process those of its share of them.

    Raises:
        InvalidInput: a variant cannot be asked; what its process said is in the message.
    """
    missing = [v for v in map(flow.variant, names) if not flow.store.find(flow.replies(v))]
    _make(flow, missing, flow.replies, ("replies", "asked"), build)


def score(flow: Flow, names: Sequence[str], build: Path) -> None:
    """Score every rung of the ladder that judging the named variants takes and that has no scores yet.

    The reference comes first, since all others are compared with it.

    Raises:
        InvalidInput: a rung cannot be scored; what its process said is in the message.
    """
    if flow.profile.survival is None:
        return
    ladder = SurvivalStage(flow)
    missing = [rung for rung in ladder.needed(names) if not flow.store.find(ladder.scores(rung))]
    if missing:
        flow.path(ladder.scores(ladder.reference.variant))
    others = [rung for rung in missing if rung.name != ladder.reference.variant.name]
    _make(flow, others, ladder.scores, ("scores", "scored"), build)


def _make(
    flow: Flow, variants: Sequence[Variant], step: Callable[[Variant], Step], said: tuple[str, str], build: Path
) -> None:
    """Make one step of every variant, here or in several processes; ``said`` is the command and what it has done.

    Each process takes its share one after another: a small model takes less time than a process to start.
    """
    workers = _workers(flow, variants)
    if workers < 2:
        for variant in variants:
            flow.path(step(variant))
        return
    shares = [[variant.name for variant in variants[start::workers]] for start in range(workers)]
    _side_by_side(flow, *said, shares, build)


def _workers(flow: Flow, variants: Sequence[Variant]) -> int:
    """How many processes work at once: on a CPU two, where memory by estimate holds as many."""
    if has_fast_quantised_kernels():
        return 1
    largest = max((answering_gb(flow, variant) or 0 for variant in variants), default=0)
    fitting = int(usable_memory().gb // largest) if largest else AT_ONCE
    return min(AT_ONCE, this_machine().cores, len(variants), max(1, fitting))


def _side_by_side(flow: Flow, command: str, done: str, shares: Sequence[Sequence[str]], build: Path) -> None:
    """Run a command of the harness on shares of variants at once, the cores divided among them.

    A process says one line on its standard output for each finished variant.
    """
    environment = os.environ | limited_to(max(1, this_machine().cores // len(shares)))
    running: list[subprocess.Popen] = []
    with Count(command, sum(map(len, shares))) as count:

        def one(share: Sequence[str]) -> None:
            started = time.monotonic()
            arguments = [sys.executable, "-m", "phase8", command, "--profile", str(flow.located.path)]
            arguments += [argument for name in share for argument in ("--variant", name)] + ["--build", str(build)]
            with tempfile.TemporaryFile("w+") as said:
                process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)
                running.append(process)
                assert process.stdout is not None
                for name, _ in zip(share, process.stdout, strict=False):
                    count.one(f"{name} {done} in {time.monotonic() - started:.0f} s")
                    started = time.monotonic()
                process.communicate()
                if process.returncode:
                    said.seek(0)
                    why = said.read().strip()[-1500:].removeprefix("error: ")
                    raise InvalidInput(f"{', '.join(share)} could not be {done}: {why}")

        pool = ThreadPoolExecutor(len(shares))
        try:
            for _ in pool.map(one, shares):
                pass
        finally:  # Ctrl-C or a failure: nothing new is started, and what runs is stopped
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                if process.poll() is None:
                    process.terminate()
            pool.shutdown()
