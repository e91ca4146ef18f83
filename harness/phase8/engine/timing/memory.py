"""The memory that this process has taken, as MLX and as the operating system count it.

MLX's peak counter leaves out its buffer cache, so the peak of the process is
given beside it: resident set on Linux, physical footprint on macOS.
"""

import ctypes
import os
import resource
import sys
from pathlib import Path

import mlx.core as mx

from phase8.record.run import Memory

_RUSAGE_INFO_V4, _LIFETIME_MAX_FOOTPRINT = 4, 28


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


def memory(work: str) -> Memory:
    """What this process holds and has held at most, in bytes, after ``work``."""
    peak, kind = process_peak()
    return Memory(
        mlx_active_bytes=mx.get_active_memory(),
        mlx_peak_bytes=mx.get_peak_memory(),
        process_peak_bytes=peak,
        process_peak_kind=kind,
        work=work,
    )
