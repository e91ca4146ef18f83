"""What judges, gates and reports read out of a record, each in one place.

``VariantRecord.latency`` is read by the names below; a name that is missing is a measurement that is missing.
"""

from collections.abc import Iterable
from typing import Literal

from phase8.core.values import Frozen
from phase8.record.run import Memory, Reply, RunRecord, Suite, VariantRecord, Verdict

QUERY = "query_s"
DECODE = "decode_tokens_per_s"
PREFILL = "prefill_tokens_per_s"
TTFT_COLD = "ttft_cold_s"
TTFT_WARM = "ttft_warm_s"
_BYTES = {"bytes": 1, "B": 1, "MB": 1e6, "GB": 1e9}


class MemoryReading(Frozen):
    """One of the three memory numbers, by name."""

    bytes: int
    which: Literal["mlx_active", "mlx_peak", "process_peak"]
    kind: str


def verdicts_of(record: RunRecord, variant: str) -> list[Verdict]:
    """The verdicts on one variant."""
    return [verdict for verdict in record.verdicts if verdict.variant == variant]


def first_turns(variant: VariantRecord, suite: Suite) -> list[Reply]:
    """The replies that count for accuracy; second turns have a gate of their own."""
    return [reply for reply in variant.replies if reply.suite == suite and reply.turn == 1]


def judged_memory(variant: VariantRecord, verdicts: Iterable[Verdict]) -> MemoryReading | None:
    """The memory number that a ceiling judged: the one nearest to the verdict; the process peak without one."""
    if variant.memory is None:
        return None
    readings = _readings(variant.memory)
    for verdict in verdicts:
        if verdict.gate.startswith("memory") and verdict.measured is not None and verdict.unit in _BYTES:
            judged = verdict.measured * _BYTES[verdict.unit]
            return min(readings, key=lambda reading: abs(reading.bytes - judged))
    return readings[0]


def _readings(memory: Memory) -> list[MemoryReading]:
    return [
        MemoryReading(bytes=memory.process_peak_bytes, which="process_peak", kind=memory.process_peak_kind),
        MemoryReading(bytes=memory.mlx_peak_bytes, which="mlx_peak", kind="MLX allocator"),
        MemoryReading(bytes=memory.mlx_active_bytes, which="mlx_active", kind="MLX allocator"),
    ]
