"""How fast is every variant as shipped, on its real kernels?"""

import pytest

from harness import judge_measured
from harness.verdicts import is_good


@pytest.mark.benchmark(group="load")
def test_load(benchmark, stopwatch):
    """Read the weights into memory."""
    benchmark.pedantic(stopwatch.load, rounds=1)
    assert stopwatch.samples["load_s"].values


@pytest.mark.benchmark(group="cold first token")
def test_cold_first_token(benchmark, stopwatch):
    """Nothing cached: the whole prompt is read before the first token."""
    benchmark.pedantic(stopwatch.cold_first_token, rounds=1)
    assert stopwatch.samples["ttft_cold_s"].values


@pytest.mark.benchmark(group="canonical queries")
def test_canonical_queries_end_to_end(benchmark, stopwatch):
    """Each canonical query once, the system prompt cached."""
    benchmark.pedantic(stopwatch.canonical_queries, rounds=1)
    assert stopwatch.samples["query_s"].values


@pytest.mark.benchmark(group="fixed work")
def test_fixed_work(benchmark, stopwatch):
    """The same number of tokens read and written, many times."""
    benchmark.pedantic(stopwatch.fixed_work, rounds=stopwatch.rounds, warmup_rounds=0)
    assert stopwatch.samples["token_s"].values


@pytest.mark.gate("seconds a query")
def test_queries_are_answered_within_the_limit(stopwatch, budgets, environment, judged):
    """On the reference machine: mean seconds a canonical query."""
    verdict = judged(
        judge_measured.seconds_a_query(stopwatch.name, stopwatch.role, stopwatch.samples, budgets, environment)
    )
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("decode ratio")
def test_decoding_is_not_slower_than_the_variant_it_is_compared_with(stopwatch, reference, budgets, judged):
    """Anywhere: the ratio to another variant of the same run; what stays inconclusive is reported as such."""
    verdict = judged(judge_measured.decode_ratio(stopwatch.name, stopwatch.role, stopwatch.samples, reference, budgets))
    assert is_good(verdict) or verdict.status == "inconclusive", verdict.detail


@pytest.mark.gate("kernel agreement")
def test_shipped_kernels_give_the_judged_replies(evidence, kernel_agreement, judged):
    """What was judged on fast weights is what the shipped kernels say."""
    verdict = judged(judge_measured.kernel_agreement(evidence.variant, evidence.role, kernel_agreement))
    assert is_good(verdict), verdict.detail
