"""Memory of one variant, measured in this process: run as ``python -m harness.engine.memory FOLDER [ADAPTER]``.

MLX's peak counter leaves out its buffer cache, so the peak of the process is
given beside it: resident set on Linux, physical footprint on macOS.
"""

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlx.core as mx

from harness.engine.latency import fixed_work
from harness.engine.models import load_shipped
from harness.errors import InvalidInput
from harness.machine import has_fast_quantised_kernels, this_machine
from harness.record import Memory

PREFILL_TOKENS, DECODE_TOKENS = 16, 2
_RUSAGE_INFO_V4, _LIFETIME_MAX_FOOTPRINT = 4, 28


def measure_in_fresh_process(folder: Path, adapter: Path | None) -> Memory:
    """Memory of a variant that nothing else shares the process with.

    Raises:
        InvalidInput: the process did not end well; its last lines are in the message.
    """
    command = [sys.executable, "-m", "harness.engine.memory", str(folder), *([str(adapter)] if adapter else [])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise InvalidInput(f"memory of {folder} could not be measured:\n{ran.stderr[-1500:]}")
    return Memory.model_validate_json(ran.stdout.strip().splitlines()[-1])


def measure_side_by_side(variants: Mapping[str, tuple[Path, Path | None]]) -> dict[str, Memory]:
    """Memory of several variants (folder and adapter by name), each in a fresh process, two at once.

    What a process takes does not depend on its neighbours; on a GPU, whose memory they would share, one at a time.

    Raises:
        InvalidInput: a process did not end well.
    """
    at_once = 1 if has_fast_quantised_kernels() else min(2, this_machine().cores)
    with ThreadPoolExecutor(at_once) as pool:
        found = pool.map(lambda paths: measure_in_fresh_process(*paths), variants.values())
        return dict(zip(variants, found, strict=True))


def process_peak() -> tuple[int, str]:
    """The peak memory of this process in bytes, and what was counted."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024, "peak resident set"
    if sys.platform == "darwin":
        info = (ctypes.c_uint64 * 64)()  # rusage_info_v4: a 16-byte uuid, then 64-bit counters
        if ctypes.CDLL(None).proc_pid_rusage(os.getpid(), _RUSAGE_INFO_V4, ctypes.byref(info)) == 0:
            return int(info[2 + _LIFETIME_MAX_FOOTPRINT]), "peak physical footprint"
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "peak resident set"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "peak resident set"


def main() -> None:
    """Load the variant, do a little fixed work, print a ``Memory`` record as JSON."""
    folder, *rest = (Path(argument) for argument in sys.argv[1:])
    model, _ = load_shipped(folder, rest[0] if rest else None)
    fixed_work(model, PREFILL_TOKENS, DECODE_TOKENS)
    peak, kind = process_peak()
    memory = Memory(
        mlx_active_bytes=mx.get_active_memory(),
        mlx_peak_bytes=mx.get_peak_memory(),
        process_peak_bytes=peak,
        process_peak_kind=kind,
        work=f"load, read {PREFILL_TOKENS} tokens, write {DECODE_TOKENS}",
    )
    print(memory.model_dump_json())


if __name__ == "__main__":
    main()
