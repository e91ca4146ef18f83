"""Ask several variants at once: on a CPU half of the work of a reply is not BLAS and uses one core."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.errors import InvalidInput
from harness.flow import Flow, Variant
from harness.machine import BLAS_THREADS, has_fast_quantised_kernels, this_machine
from harness.progress import Count

AT_ONCE = 2


def ask(flow: Flow, names: Sequence[str], build: Path) -> None:
    """Make the replies of every named variant that has none yet.

    Raises:
        InvalidInput: a variant cannot be asked; what its process said is in the message.
    """
    missing = [v for v in map(flow.variant, names) if not flow.store.find(flow.replies(v))]
    workers = 1 if has_fast_quantised_kernels() else min(AT_ONCE, this_machine().cores, len(missing))
    if workers < 2:
        for variant in missing:
            flow.path(flow.replies(variant))
        return
    threads = str(max(1, this_machine().cores // workers))
    environment = os.environ | dict.fromkeys(BLAS_THREADS, threads)
    running: list[subprocess.Popen] = []
    with Count("replies", len(missing)) as count:

        def one(variant: Variant) -> None:
            started = time.monotonic()
            command = [sys.executable, "-m", "harness", "replies", "--profile", str(flow.located.path)]
            command += ["--variant", variant.name, "--build", str(build)]
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            running.append(process)
            said = process.communicate()[1]
            if process.returncode:
                raise InvalidInput(f"{variant.name} could not be asked: {said.strip()[-1500:].removeprefix('error: ')}")
            count.one(f"{variant.name} asked in {time.monotonic() - started:.0f} s")

        pool = ThreadPoolExecutor(workers)
        try:
            for _ in pool.map(one, missing):
                pass
        finally:  # Ctrl-C or a failure: nothing new is started, and what runs is stopped
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                if process.poll() is None:
                    process.terminate()
            pool.shutdown()
