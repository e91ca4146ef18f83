"""What else the machine did during a block, from its own counters and blind to the block's timings."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from phase8.core.lazy_imports import psutil
from phase8.record.ab_blocks import Counters

MOST_OTHERS = 0.10  # of all cores' time, in other processes
MOST_STEAL = 0.02  # of all cores' time, in other guests of the host
MOST_SLOWER = 0.10  # of the clock rate, below the run's highest


class Reading(NamedTuple):
    """The counters at one moment."""

    at_s: float
    busy_s: float
    steal_s: float | None
    ours_s: float


def read(processes: Iterable[int]) -> Reading:
    """The machine's counters now, with what ``processes`` and this one have used of them, in CPU seconds."""
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "steal", 0.0)
    busy -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user and nice already
    ours = sum(_used_s(psutil.Process(pid)) for pid in (*processes, None))
    return Reading(time.monotonic(), busy, getattr(times, "steal", None), ours)


def between(first: Reading, last: Reading) -> Counters:
    """What happened from one reading to another."""
    available = (last.at_s - first.at_s) * (psutil.cpu_count() or 1)
    others = (last.busy_s - first.busy_s) - (last.ours_s - first.ours_s)
    stolen = None if first.steal_s is None or last.steal_s is None else last.steal_s - first.steal_s
    return Counters(
        others=max(0.0, others / available),
        steal=None if stolen is None else stolen / available,
        mhz=_mhz(),
        celsius=_celsius(),
        on_mains=_on_mains(),
    )


def why_dropped(counters: Counters, highest_mhz: float | None) -> str:
    """Why a block with these counters does not count; empty where it does."""
    if counters.others > MOST_OTHERS:
        return f"other processes used {counters.others:.0%} of the cores, {MOST_OTHERS:.0%} allowed"
    if counters.steal is not None and counters.steal > MOST_STEAL:
        return f"the host took {counters.steal:.0%} of the cores' time, {MOST_STEAL:.0%} allowed"
    if counters.mhz and highest_mhz and counters.mhz < highest_mhz * (1 - MOST_SLOWER):
        return f"the clock was at {counters.mhz:.0f} MHz, {highest_mhz:.0f} before: the machine throttles"
    if counters.on_mains is False:
        return "the machine ran on its battery"
    return ""


def _used_s(process: "psutil.Process") -> float:
    used = process.cpu_times()
    return used.user + used.system


def _mhz() -> float | None:
    try:
        found = psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError, RuntimeError):  # Apple silicon and most guests have none
        return None
    return found.current or None if found else None


def _celsius() -> float | None:
    """The hottest sensor; shown, not judged: throttling shows in the clock."""
    read_sensors = getattr(psutil, "sensors_temperatures", None)
    try:
        found = read_sensors() if read_sensors else {}
    except OSError:
        return None
    return max((one.current for sensors in found.values() for one in sensors), default=None)


def _on_mains() -> bool | None:
    read_battery = getattr(psutil, "sensors_battery", None)
    try:
        found = read_battery() if read_battery else None
    except OSError:
        return None
    return found.power_plugged if found else None
