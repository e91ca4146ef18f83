"""Two runs side by side: ``a`` is the reference, ``b`` is what changed, and every difference is ``b - a``."""

from collections.abc import Mapping
from statistics import median
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.interval import Interval
from phase8.core.safe_text import visible
from phase8.core.values import Frozen
from phase8.record.run import Memory, Reply, RunRecord, VariantRecord
from phase8.record.view import DECODE, MemoryReading, first_turns
from phase8.report import columns as cells
from phase8.report.rows import Proportion, Row, rows
from phase8.stats.paired_tests import mcnemar, newcombe
from phase8.stats.proportions import ratio_of_medians

_MACHINE = ("chip", "cores", "device", "blas", "compute_dtype")


class AccuracyChange(Frozen):
    """Held-out accuracy of both, and whether the difference could be chance.

    On the same cases ``mcnemar_p`` is the exact paired test, and ``lost`` and ``gained`` name the cases behind it.
    On different prompts ``interval`` is Newcombe's, in percentage points.
    """

    a: Proportion
    b: Proportion
    points: float
    paired: bool
    interval: Interval | None = None
    mcnemar_p: float | None = None
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()


class SpeedChange(Frozen):
    """Decode rate of b over a: above 1 is faster. No interval where a side has a single round.

    ``note`` says where the two were not measured alike.
    """

    ratio: float
    interval: Interval | None
    rounds_a: int
    rounds_b: int
    note: str = ""


class MemoryChange(Frozen):
    """One memory number of both, in bytes; ``which`` is the same number on both sides."""

    which: Literal["mlx_active", "mlx_peak", "process_peak"]
    a_bytes: int
    b_bytes: int
    difference_bytes: int
    note: str = ""


class VariantComparison(Frozen):
    """One variant in both runs; None is a difference that one of the runs has no measurement for."""

    name: str
    a: Row
    b: Row
    accuracy: AccuracyChange | None
    speed: SpeedChange | None
    memory: MemoryChange | None


class Comparison(Frozen):
    """Two runs; ``machine_differences`` is empty where their timings can be compared."""

    title_a: str
    title_b: str
    machine_differences: tuple[str, ...]
    variants: tuple[VariantComparison, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def compare(a: RunRecord, b: RunRecord) -> Comparison:
    """Match the variants of two runs by name and give the differences."""
    rows_a, rows_b = ({row.variant: row for row in rows(record)} for record in (a, b))
    variants_a, variants_b = ({variant.name: variant for variant in record.variants} for record in (a, b))
    return Comparison(
        title_a=_title(a),
        title_b=_title(b),
        machine_differences=_machine_differences(a, b),
        variants=tuple(
            VariantComparison(
                name=name,
                a=rows_a[name],
                b=rows_b[name],
                accuracy=_accuracy(variants_a[name], variants_b[name]),
                speed=_speed(variants_a[name], variants_b[name]),
                memory=_memory(variants_a[name], variants_b[name], rows_a[name].memory, rows_b[name].memory),
            )
            for name in variants_a
            if name in variants_b
        ),
        only_a=tuple(name for name in rows_a if name not in rows_b),
        only_b=tuple(name for name in rows_b if name not in rows_a),
    )


def render(comparison: Comparison, console: Console) -> None:
    """Print both runs side by side, then what cannot be compared and why."""
    for side, title in (("a", comparison.title_a), ("b", comparison.title_b)):
        console.print(Text(visible(f"{side}: {title}")))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    headings = ("variant", "held-out, a", "held-out, b", "accuracy, b - a", "decode, b / a", "memory, b - a")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    changes = [change for found in comparison.variants for change in (found.speed, found.memory) if change]
    remarks = {note: i for i, note in enumerate(dict.fromkeys(one.note for one in changes if one.note), 1)}
    for found in comparison.variants:
        texts = [found.name, cells.proportion(found.a.held_out), cells.proportion(found.b.held_out)]
        texts += [
            _accuracy_text(found.accuracy),
            _speed_text(found.speed, remarks),
            _memory_text(found.memory, remarks),
        ]
        table.add_row(*[Text(visible(text)) for text in texts])
    console.print(table)
    for line in [*(f"[{i}] {note}" for note, i in remarks.items()), *_notes(comparison)]:
        console.print(Text(visible(line)))


def _title(record: RunRecord) -> str:
    commit = f", commit {record.environment.commit}" if record.environment.commit else ""
    partial = ", partial" if record.partial else ""
    return f"{record.profile}, {record.started}{commit}{partial}"


def _machine_differences(a: RunRecord, b: RunRecord) -> tuple[str, ...]:
    pairs = [(part, getattr(a.environment, part), getattr(b.environment, part)) for part in _MACHINE]
    return tuple(f"{part}: {one} in a, {other} in b" for part, one, other in pairs if one != other)


def _accuracy(a: VariantRecord, b: VariantRecord) -> AccuracyChange | None:
    replies_a, replies_b = first_turns(a, "held-out"), first_turns(b, "held-out")
    if not replies_a or not replies_b:
        return None
    right_a, right_b = ({_key(r): r.correct for r in replies} for replies in (replies_a, replies_b))
    counts = (sum(r.correct for r in replies_a), len(replies_a), sum(r.correct for r in replies_b), len(replies_b))
    points = (counts[2] / counts[3] - counts[0] / counts[1]) * 100
    share_a, share_b = Proportion.of(*counts[:2]), Proportion.of(*counts[2:])
    if right_a.keys() != right_b.keys() or len(right_a) != counts[1] or len(right_b) != counts[3]:
        found = newcombe(counts[2], counts[3], counts[0], counts[1])
        interval = Interval(low=found.low * 100, high=found.high * 100, method=found.method)
        return AccuracyChange(a=share_a, b=share_b, points=points, paired=False, interval=interval)
    lost = tuple(key[0] for key in right_a if right_a[key] and not right_b[key])
    gained = tuple(key[0] for key in right_a if right_b[key] and not right_a[key])
    p = mcnemar(len(lost), len(gained))
    return AccuracyChange(a=share_a, b=share_b, points=points, paired=True, mcnemar_p=p, lost=lost, gained=gained)


def _key(reply: Reply) -> tuple[str, str, str]:
    """What makes two replies answers to the same case."""
    return reply.case, reply.label, reply.query


def _speed(a: VariantRecord, b: VariantRecord) -> SpeedChange | None:
    rounds_a, rounds_b = (v.latency[DECODE].values if DECODE in v.latency else () for v in (a, b))
    if not rounds_a or not rounds_b or min(*rounds_a, *rounds_b) <= 0:
        return None
    if min(len(rounds_a), len(rounds_b)) < 2:
        ratio, interval = median(rounds_b) / median(rounds_a), None
    else:
        ratio, interval = ratio_of_medians(rounds_b, rounds_a)
    what_a, what_b = a.latency[DECODE].what, b.latency[DECODE].what
    note = "" if what_a == what_b else f"measured otherwise: {what_a} in a, {what_b} in b"
    return SpeedChange(ratio=ratio, interval=interval, rounds_a=len(rounds_a), rounds_b=len(rounds_b), note=note)


def _memory(
    a: VariantRecord, b: VariantRecord, judged_a: MemoryReading | None, judged_b: MemoryReading | None
) -> MemoryChange | None:
    """The judged number where both runs judged the same one, else the process peak."""
    if a.memory is None or b.memory is None or judged_a is None or judged_b is None:
        return None
    which = judged_a.which if judged_a.which == judged_b.which else "process_peak"
    bytes_a, bytes_b = (getattr(memory, f"{which}_bytes") for memory in (a.memory, b.memory))
    note = _memory_note(a.memory, b.memory, which == "process_peak")
    return MemoryChange(which=which, a_bytes=bytes_a, b_bytes=bytes_b, difference_bytes=bytes_b - bytes_a, note=note)


def _memory_note(a: Memory, b: Memory, of_process: bool) -> str:
    if of_process and a.process_peak_kind != b.process_peak_kind:
        return f"not comparable: {a.process_peak_kind} in a, {b.process_peak_kind} in b"
    return "" if a.work == b.work else f"other work: {a.work} in a, {b.work} in b"


def _accuracy_text(found: AccuracyChange | None) -> str:
    if found is None:
        return cells.NOT_MEASURED
    if found.interval:
        return f"{found.points:+.1f} points ({found.interval.low:+.1f} to {found.interval.high:+.1f})"
    return f"{found.points:+.1f} points (p = {found.mcnemar_p:.3g}; {len(found.lost)} lost, {len(found.gained)} gained)"


def _speed_text(found: SpeedChange | None, remarks: Mapping[str, int]) -> str:
    if found is None:
        return cells.NOT_MEASURED
    note = f" [{remarks[found.note]}]" if found.note else ""
    if found.interval is None:
        return f"{found.ratio:.3f} (no interval: {found.rounds_a} and {found.rounds_b} rounds){note}"
    return f"{found.ratio:.3f} ({found.interval.low:.3f} to {found.interval.high:.3f}){note}"


def _memory_text(found: MemoryChange | None, remarks: Mapping[str, int]) -> str:
    if found is None:
        return cells.NOT_MEASURED
    sign = "+" if found.difference_bytes >= 0 else ""
    note = f" [{remarks[found.note]}]" if found.note else ""
    return f"{sign}{cells.size(found.difference_bytes)} ({found.which.replace('_', ' ')}){note}"


def _notes(comparison: Comparison) -> list[str]:
    changes = [found.accuracy for found in comparison.variants if found.accuracy]
    lines = []
    if comparison.machine_differences:
        lines.append(f"Speed is NOT comparable, the machines differ: {'; '.join(comparison.machine_differences)}.")
    elif comparison.variants:
        lines.append("Speed is comparable: chip, cores, device, BLAS and compute dtype are the same.")
    if any(change.paired for change in changes):
        lines.append("Accuracy with p: the same cases, exact two-sided McNemar test.")
    if any(not change.paired for change in changes):
        lines.append("Accuracy with an interval: different prompts, 95 % Newcombe hybrid score.")
    for found in comparison.variants:
        if found.accuracy and found.accuracy.lost:
            lines.append(f"{found.name} lost: {', '.join(found.accuracy.lost)}")
    if not comparison.variants:
        lines.append("No variant is in both runs.")
    for side, names in (("a", comparison.only_a), ("b", comparison.only_b)):
        if names:
            lines.append(f"Only in {side}: {', '.join(names)}")
    return lines
