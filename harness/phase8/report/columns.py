"""Numbers as text, the same in the terminal, in Markdown and in HTML, and what each column means."""

from collections.abc import Callable
from typing import NamedTuple

from phase8.record.run import Verdict
from phase8.record.view import MemoryReading
from phase8.report.rows import Measure, Proportion, Row

NOT_MEASURED = "not measured"


class Column(NamedTuple):
    """One column of the table of measures."""

    title: str
    cell: Callable[[Row], str]
    meaning: str


def size(count: float | None) -> str:
    """Bytes in MB or GB (powers of ten)."""
    if count is None:
        return NOT_MEASURED
    return f"{count / 1e9:.2f} GB" if abs(count) >= 1e9 else f"{count / 1e6:.1f} MB"


def proportion(found: Proportion | None) -> str:
    """Successes of trials, the share and its interval."""
    if found is None:
        return NOT_MEASURED
    low, high = found.interval.low * 100, found.interval.high * 100
    return f"{count(found)} = {found.share * 100:.1f} % ({low:.1f} to {high:.1f})"


def count(found: Proportion | None) -> str:
    """Successes of trials alone."""
    return NOT_MEASURED if found is None else f"{found.successes}/{found.trials}"


def measure(found: Measure | None) -> str:
    """Value, unit and number of samples."""
    return NOT_MEASURED if found is None else f"{number(found.value)} {found.unit} (n={found.samples})"


def memory(found: MemoryReading | None) -> str:
    """The judged number and which of the three it is."""
    return NOT_MEASURED if found is None else f"{size(found.bytes)} ({found.which.replace('_', ' ')}, {found.kind})"


def number(value: float) -> str:
    """Three significant digits, or all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measured(verdict: Verdict) -> str:
    """The measured value of a verdict; empty where its gate does not apply."""
    if verdict.measured is None:
        return NOT_MEASURED if verdict.status == "missing" else ""
    return _quantity(verdict.measured, verdict.unit)


def against_limit(verdict: Verdict) -> str:
    """Measured value, limit, interval or bound, and samples of a verdict, as far as it has them."""
    parts = [found] if (found := measured(verdict)) else []
    if verdict.limit is not None:
        parts.append(f"limit {_quantity(verdict.limit, verdict.unit)}")
    if verdict.interval:
        low, high = (_quantity(end, verdict.unit) for end in (verdict.interval.low, verdict.interval.high))
        parts.append(f"95 % {low} to {high} ({verdict.interval.method})")
    if verdict.paired:
        parts.append(
            f"at most {_quantity(verdict.paired.bound, 'share')} (one-sided 95 %, {verdict.paired.bound_method})"
        )
    if verdict.samples:
        parts.append(f"n={verdict.samples}")
    return ", ".join(parts)


def _quantity(value: float, unit: str) -> str:
    return f"{value * 100:.1f} %" if unit == "share" else f"{value:.4g} {unit}".rstrip()


def _bits(row: Row) -> str:
    return NOT_MEASURED if row.bits_per_weight is None else f"{row.bits_per_weight:.2f}"


_SPLIT = "Held-out prompts, first turn"
COLUMNS = (
    Column("variant", lambda row: row.variant, "What answered the prompts."),
    Column("verdict", lambda row: row.verdict, "The worst verdict of all gates on this variant."),
    Column("role", lambda row: row.role, "production passes every gate, a candidate is measured, a control must fail."),
    Column("bits/weight", _bits, "Bits of storage a weight, scales and biases included."),
    Column("size", lambda row: size(row.size_bytes), "The model folder on disk, in MB (1e6) or GB (1e9 bytes)."),
    Column("canonical", lambda row: count(row.canonical), "Right decisions on the chosen canonical queries, k of n."),
    Column(
        "held-out accuracy",
        lambda row: proportion(row.held_out),
        f"{_SPLIT}: share of right decisions, two-sided 95 % Clopper-Pearson interval.",
    ),
    Column(
        "hard probes",
        lambda row: proportion(row.probes),
        "Hand-written prompts whose words mislead: share of right decisions, two-sided 95 % Clopper-Pearson interval.",
    ),
    Column(
        "over-calls",
        lambda row: count(row.over_calls),
        f"{_SPLIT}, where a direct answer is right: a tool was called, or a call was attempted.",
    ),
    Column(
        "under-calls",
        lambda row: count(row.under_calls),
        f"{_SPLIT}, where a call is right: no call was made or attempted.",
    ),
    Column("malformed", lambda row: count(row.malformed), f"{_SPLIT}: an attempt at a call that nothing could run."),
    Column("a query", lambda row: measure(row.query), "Mean time of a canonical query from end to end; n queries."),
    Column("decode", lambda row: measure(row.decode), "Fixed work after a warm-up: median rate over n rounds."),
    Column("prefill", lambda row: measure(row.prefill), "Fixed work after a warm-up: median rate over n rounds."),
    Column("first token, cold", lambda row: measure(row.ttft_cold), "Time to first token, nothing cached: median."),
    Column("first token, warm", lambda row: measure(row.ttft_warm), "The same with the system prompt cached."),
    Column(
        "memory",
        lambda row: memory(row.memory),
        "In a fresh process: the number that the ceiling judged, or the process peak where none did.",
    ),
)


def shown(title: str, row: Row) -> str:
    """The text of one column for one variant."""
    return next(column.cell(row) for column in COLUMNS if column.title == title)
