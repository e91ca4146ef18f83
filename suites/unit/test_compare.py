"""Two runs side by side."""

from io import StringIO

import pytest
from rich.console import Console

from phase8.record.view import DECODE
from phase8.report.compare import Comparison, compare, render
from phase8.stats.paired_tests import mcnemar, newcombe
from suites.unit.records import environment, held_out, memory, record, samples, variant, verdict


def printed(comparison: Comparison) -> str:
    """What the terminal shows."""
    out = StringIO()
    render(comparison, Console(file=out, width=180))
    return out.getvalue()


def test_newcombe_gives_the_published_interval() -> None:
    """Newcombe (1998), table II, example a, method 10: 56/70 - 48/80 is 0.0524 to 0.3339."""
    found = newcombe(56, 70, 48, 80)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_newcombe_stays_inside_the_possible_at_the_edge() -> None:
    """Newcombe (1998), example h: 10/10 - 0/10 is 0.6075 to 1."""
    found = newcombe(10, 10, 0, 10)
    assert found.low == pytest.approx(0.6075, abs=5e-5)
    assert found.high == pytest.approx(1)


def test_mcnemar_is_the_exact_binomial_test(subtests: pytest.Subtests) -> None:
    """Checked against scipy; without a discordant case p is 1."""
    for only_a, only_b in [(0, 0), (2, 0), (5, 1), (7, 7), (1, 30)]:
        with subtests.test(only_a=only_a, only_b=only_b):
            from scipy.stats import binomtest

            discordant = only_a + only_b
            assert mcnemar(only_a, only_b) == (binomtest(only_b, discordant).pvalue if discordant else 1.0)


def test_the_same_cases_are_compared_in_pairs() -> None:
    """Which cases were lost is known, so the paired test is used."""
    a, b = (record(variants=(variant(replies=held_out(right)),)) for right in (20, 17))
    change = compare(a, b).variants[0].accuracy
    assert change is not None
    assert change.paired
    assert change.points == pytest.approx(-15)
    assert change.lost == ("held-out-17", "held-out-18", "held-out-19")
    assert change.mcnemar_p == pytest.approx(0.25)
    assert change.interval is None


def test_different_prompts_are_compared_as_independent_samples() -> None:
    """Newcombe's interval, in percentage points, for b - a."""
    a = record(variants=(variant(replies=held_out(48, 80)),))
    b = record(variants=(variant(replies=held_out(56, 70, prefix="other")),))
    change = compare(a, b).variants[0].accuracy
    assert change is not None
    assert not change.paired
    assert change.points == pytest.approx(20)
    assert change.interval is not None
    assert change.interval.low == pytest.approx(5.24, abs=0.01)
    assert change.interval.high == pytest.approx(33.39, abs=0.01)


def test_the_same_case_names_with_other_queries_are_not_pairs() -> None:
    """A name alone does not make two prompts the same."""
    replies = tuple(reply.model_copy(update={"query": "another question"}) for reply in held_out())
    a, b = record(variants=(variant(replies=held_out()),)), record(variants=(variant(replies=replies),))
    change = compare(a, b).variants[0].accuracy
    assert change is not None
    assert not change.paired


def test_variants_in_one_run_only_are_listed_by_name() -> None:
    """Nothing is dropped silently."""
    a, b = record(variants=(variant("both"), variant("old"))), record(variants=(variant("both"), variant("new")))
    found = compare(a.model_copy(update={"verdicts": ()}), b.model_copy(update={"verdicts": ()}))
    assert (found.only_a, found.only_b) == (("old",), ("new",))
    assert "Only in a: old" in printed(found)
    assert "Only in b: new" in printed(found)


def test_a_control_that_only_one_run_judged_is_listed() -> None:
    """Synthetic controls exist in verdicts alone."""
    b = record(verdicts=(verdict("always-call", status="xfail", role="control"),))
    assert compare(record(), b).only_b == ("always-call",)


def test_speed_is_the_ratio_of_medians_with_an_interval() -> None:
    """Above 1 is faster."""
    a = record(variants=(variant(latency={DECODE: samples(100.0, 101.0, 99.0)}),))
    b = record(variants=(variant(latency={DECODE: samples(150.0, 151.0, 149.0)}),))
    speed = compare(a, b).variants[0].speed
    assert speed is not None
    assert speed.ratio == pytest.approx(1.5)
    assert speed.interval is not None
    assert speed.interval.low <= 1.5 <= speed.interval.high


def test_one_round_gives_a_ratio_without_an_interval() -> None:
    """A single measurement says nothing about its own noise."""
    b = record(variants=(variant(latency={DECODE: samples(202.0)}),))
    found = compare(record(), b)
    speed = found.variants[0].speed
    assert speed is not None
    assert speed.ratio == pytest.approx(2)
    assert speed.interval is None
    assert "no interval" in printed(found)


def test_speed_on_another_machine_is_said_to_be_incomparable(subtests: pytest.Subtests) -> None:
    """A timing holds inside one lane only."""
    for part in ["chip", "cores", "device", "blas", "compute_dtype"]:
        with subtests.test(part=part):
            found = compare(record(), record(environment=environment(**{part: 3 if part == "cores" else "another"})))
            assert len(found.machine_differences) == 1
            assert "Speed is NOT comparable" in printed(found)


def test_speed_that_was_measured_otherwise_says_so() -> None:
    """One variant alone and one beside another are not measured alike."""
    b = record(variants=(variant(latency={DECODE: samples(100.0, 101.0, what="fixed work, beside 1 other variant")}),))
    speed = compare(record(), b).variants[0].speed
    assert speed is not None
    assert speed.note == "measured otherwise: fixed work in a, fixed work, beside 1 other variant in b"


def test_what_one_run_did_not_measure_is_not_measured_in_the_comparison() -> None:
    """No difference is made up from a missing number."""
    found = compare(record(), record(variants=(variant(latency={}, memory=None, replies=()),)))
    assert (found.variants[0].accuracy, found.variants[0].speed, found.variants[0].memory) == (None, None, None)
    assert "not measured" in printed(found)


def test_memory_compares_the_number_that_both_judged() -> None:
    """The judged number on both sides, in bytes."""
    b = record(variants=(variant(memory=memory(mlx_peak_bytes=20_500_000_000)),))
    change = compare(record(), b).variants[0].memory
    assert change is not None
    assert (change.which, change.difference_bytes) == ("mlx_peak", 500_000_000)


def test_memory_of_other_kinds_is_said_to_be_incomparable() -> None:
    """RSS is not a physical footprint."""
    other = record(variants=(variant(memory=memory(process_peak_kind="RSS")),), verdicts=())
    change = compare(record(), other).variants[0].memory
    assert change is not None
    assert "not comparable" in change.note
    text = printed(compare(record(), other))
    assert text.count(change.note) == 1
    assert f"[1] {change.note}" in text
    assert "(process peak) [1]" in text
