"""Rows of a run record."""

import pytest

from phase8.gates.outcome import outcome
from phase8.gates.verdicts import worst_first
from phase8.profile.terms import Role
from phase8.record.run import Status
from phase8.record.view import DECODE, QUERY
from phase8.report.columns import COLUMNS, NOT_MEASURED
from phase8.report.rows import Measure, Proportion, RowVerdict, row_verdict, rows
from suites.unit.records import canonical, held_out, memory, probes, record, reply, samples, variant, verdict


def test_a_row_counts_right_decisions_and_gives_their_exact_interval() -> None:
    """5 of 5 leaves 47.8 to 100 %."""
    (row,) = rows(record(variants=(variant(replies=canonical(4) + held_out(5, 5)),)))
    assert row.canonical == Proportion.of(4, 5)
    assert row.held_out is not None
    assert (row.held_out.successes, row.held_out.trials) == (5, 5)
    assert row.held_out.interval.low == pytest.approx(0.478, abs=0.001)
    assert row.held_out.interval.high == 1


def test_over_calls_and_under_calls_are_counted_on_the_prompts_where_they_can_happen() -> None:
    """A call on a direct prompt is an over-call, an answer on a tool prompt an under-call."""
    replies = (
        reply("a", "direct", right=False, suite="held-out"),
        reply("b", "direct", decision="malformed", suite="held-out"),
        reply("c", "direct", decision="empty", suite="held-out"),
        reply("d", "tool", right=False, suite="held-out"),
        reply("e", "tool", decision="malformed", suite="held-out"),
    )
    (row,) = rows(record(variants=(variant(replies=replies),)))
    assert row.over_calls == Proportion.of(2, 3)
    assert row.under_calls == Proportion.of(1, 2)
    assert row.malformed == Proportion.of(2, 5)


def test_second_turns_do_not_count_for_accuracy() -> None:
    """A second turn has a gate of its own."""
    second = reply("held-out-00", "direct", right=False, suite="held-out", turn=2)
    (row,) = rows(record(variants=(variant(replies=(*held_out(3, 3), second)),)))
    assert row.held_out == Proportion.of(3, 3)


def test_queries_are_averaged_and_rates_are_medians() -> None:
    """One slow round must not move a rate."""
    latency = {QUERY: samples(1.0, 2.0, 6.0, unit="s"), DECODE: samples(100.0, 101.0, 5.0)}
    (row,) = rows(record(variants=(variant(latency=latency),)))
    assert row.query == Measure(value=3.0, unit="s", samples=3)
    assert row.decode == Measure(value=100.0, unit="tokens/s", samples=3)


def test_what_was_not_measured_is_none_in_the_row_and_said_in_every_cell() -> None:
    """Never a zero."""
    bare = variant(replies=(), latency={}, memory=None, bits_per_weight=None, size_bytes=None)
    (row,) = rows(record(variants=(bare,)))
    texts = {column.title: column.cell(row) for column in COLUMNS}
    measured = {title: text for title, text in texts.items() if title not in ("variant", "verdict", "role")}
    assert set(measured.values()) == {NOT_MEASURED}


def test_samples_without_values_are_not_measured() -> None:
    """An empty list of rounds has no median."""
    (row,) = rows(record(variants=(variant(latency={DECODE: samples()}),)))
    assert row.decode is None


@pytest.mark.parametrize(
    ("unit", "measured", "which"),
    [("GB", 20.0, "mlx_peak"), ("GB", 19.0, "mlx_active"), ("bytes", 21e9, "process_peak")],
)
def test_the_memory_shown_is_the_number_that_was_judged(unit: str, measured: float, which: str) -> None:
    """Three numbers are recorded, and the verdict says which one its ceiling judged."""
    judged = verdict(gate="memory", unit=unit, measured=measured)
    (row,) = rows(record(variants=(variant(memory=memory()),), verdicts=(judged,)))
    assert row.memory is not None
    assert row.memory.which == which


def test_a_name_that_only_a_verdict_mentions_has_a_row() -> None:
    """Synthetic controls have no measurements, and must not disappear."""
    found = rows(record(verdicts=(verdict("always-call", status="xfail", role="control"),)))
    assert [(row.variant, row.verdict) for row in found][-1] == ("always-call", "control fails as it must")


ROWS: list[tuple[Role, list[Status], RowVerdict]] = [
    ("production", ["pass", "fail", "missing"], "FAIL"),
    ("production", ["pass", "missing"], "incomplete"),
    ("production", ["pass", "inconclusive"], "inconclusive"),
    ("production", ["pass", "new", "not applicable"], "pass"),
    ("production", ["not applicable", "info"], "not judged"),
    ("production", [], "not judged"),
    ("candidate", ["xpass", "xfail"], "xfail"),
    ("candidate", ["xpass", "xpass"], "xpass"),
    ("control", ["xfail", "pass"], "control fails as it must"),
    ("control", ["fail"], "CONTROL PASSED"),
    ("control", ["xpass"], "CONTROL PASSED"),
    ("control", ["missing", "xfail"], "incomplete"),
]


def test_a_variant_is_as_good_as_its_worst_verdict(subtests: pytest.Subtests) -> None:
    """One word for all gates of a variant."""
    for role, statuses, expected in ROWS:
        with subtests.test(role=role, statuses=statuses, expected=expected):
            assert row_verdict(role, [verdict(status=status, role=role) for status in statuses]) == expected


def test_the_worst_news_comes_first() -> None:
    """Production before candidates, far from the limit before near it."""
    near = verdict(gate="near", status="fail", measured=0.9, limit=1.0)
    far = verdict(gate="far", status="fail", measured=0.2, limit=1.0)
    candidate = verdict(gate="candidate", status="fail", role="candidate", measured=0.1, limit=1.0)
    undecided = verdict(gate="undecided", status="inconclusive")
    found = worst_first([undecided, candidate, near, far])
    assert [v.gate for v in found] == ["far", "near", "candidate", "undecided"]


def test_a_run_without_a_verdict_does_not_pass() -> None:
    """Nothing judged is not good news."""
    assert outcome(record(verdicts=())).headline.startswith("FAIL")


def test_a_missing_measurement_fails_the_headline() -> None:
    """Missing is a failure, never a pass."""
    run = record(verdicts=(verdict(), verdict(gate="memory", status="missing")))
    assert outcome(run).headline.startswith("FAIL: 1 gate")


def test_an_undecided_gate_makes_the_run_inconclusive() -> None:
    """Not being able to show a loss is not the same as showing that there is none."""
    assert outcome(record(verdicts=(verdict(), verdict(status="inconclusive")))).headline.startswith("INCONCLUSIVE")


def test_what_does_not_block_is_counted_in_a_passing_headline() -> None:
    """The run passes, and does not hide what stayed open."""
    found = outcome(record(verdicts=(verdict(), verdict(status="inconclusive", blocks=False)))).headline
    assert found.startswith("PASS")
    assert "1 inconclusive that does not block" in found


def test_hard_probes_have_a_share_of_their_own() -> None:
    """They do not count for held-out accuracy."""
    (row,) = rows(record(variants=(variant(replies=held_out(3, 3) + probes(4)),)))
    assert (row.held_out, row.probes) == (Proportion.of(3, 3), Proportion.of(4, 6))


def test_a_partial_run_says_so_in_its_headline() -> None:
    """A pass of a part must not read like a pass."""
    assert "PARTIAL" in outcome(record(partial=True)).headline
