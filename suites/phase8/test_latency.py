"""How fast is every variant as shipped, on its real kernels?"""

import pytest

from phase8.gates import measured as judge_measured
from phase8.gates.verdicts import is_good
from phase8.measure.benchmark_replay import recorded, rounds_s


@pytest.mark.benchmark(group="load", timer=recorded)
def test_load(benchmark, replay):
    """Read the weights into memory."""
    benchmark.pedantic(replay.load, rounds=1)
    assert rounds_s(benchmark) == pytest.approx(replay.measured_s["load"])


@pytest.mark.benchmark(group="cold first token", timer=recorded)
def test_cold_first_token(benchmark, replay):
    """Nothing cached: the whole prompt is read before the first token."""
    benchmark.pedantic(replay.cold_first_token, rounds=1)
    assert rounds_s(benchmark) == pytest.approx(replay.measured_s["cold_first_token"])


@pytest.mark.benchmark(group="canonical queries", timer=recorded)
def test_canonical_queries_end_to_end(benchmark, replay):
    """Each canonical query once, the system prompt cached."""
    benchmark.pedantic(replay.canonical_queries, rounds=1)
    assert rounds_s(benchmark) == pytest.approx(replay.measured_s["canonical_queries"])


@pytest.mark.benchmark(group="fixed work", timer=recorded)
def test_fixed_work(benchmark, replay):
    """The same number of tokens read and written, many times."""
    benchmark.pedantic(replay.fixed_work, rounds=replay.rounds)
    assert rounds_s(benchmark) == pytest.approx(replay.measured_s["fixed_work"])


@pytest.mark.gate("seconds a query")
def test_queries_are_answered_within_the_limit(variant, measurement, budgets, environment, judged):
    """On the reference machine: mean seconds a canonical query."""
    verdict = judged(
        judge_measured.seconds_a_query(variant.name, variant.role, measurement.samples, budgets, environment)
    )
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("decode ratio")
def test_decoding_is_not_slower_than_the_variant_it_is_compared_with(variant, measurement, reference, budgets, judged):
    """Anywhere: the ratio to another variant of the same run; what stays inconclusive is reported as such."""
    verdict = judged(judge_measured.decode_ratio(variant.name, variant.role, measurement.samples, reference, budgets))
    assert is_good(verdict) or verdict.status == "inconclusive", verdict.detail


@pytest.mark.gate("kernel agreement")
def test_shipped_kernels_give_the_judged_replies(evidence, kernel_agreement, judged):
    """What was judged on fast weights is what the shipped kernels say."""
    verdict = judged(judge_measured.kernel_agreement(evidence.variant, evidence.role, kernel_agreement))
    assert is_good(verdict), verdict.detail
