"""Intervals against published values and their own promise."""

import math

import pytest

from phase8.stats.proportions import (
    clopper_pearson,
    clustered_upper_bound,
    holm,
    mcnemar_greater,
    paired_upper_bound,
    ratio_of_medians,
)


def test_clopper_pearson_gives_the_published_values(subtests: pytest.Subtests) -> None:
    """From tables of exact 95 % limits."""
    for successes, trials, low, high in [
        (5, 5, 0.4782, 1.0),
        (3, 5, 0.1466, 0.9473),
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (8, 10, 0.4439, 0.9748),
        (1, 20, 0.0013, 0.2487),
        (0, 100, 0.0, 0.0362),
    ]:
        with subtests.test(successes=successes, trials=trials, low=low, high=high):
            found = clopper_pearson(successes, trials)
            assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_shares_and_losses_are_bounded_as_scipys_binomial_test_does(subtests: pytest.Subtests) -> None:
    """Another way to the same limits: it searches for them, ours are quantiles."""
    for trials in [1, 5, 69, 201]:
        with subtests.test(trials=trials):
            from scipy.stats import binomtest

            for lost in sorted({0, 1, trials // 3, trials - 1, trials}):
                theirs = binomtest(lost, trials).proportion_ci(0.95, "exact")
                ours = clopper_pearson(lost, trials)
                assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)
                for gained in sorted({0, (trials - lost) // 2, trials - lost}):
                    if lost + gained:
                        p = binomtest(lost, lost + gained, 0.5, alternative="greater").pvalue
                        assert mcnemar_greater(lost, gained) == pytest.approx(p, abs=1e-12)
                    high = binomtest(lost, trials, alternative="less").proportion_ci(0.955, "exact").high
                    low = binomtest(gained, trials, alternative="greater").proportion_ci(0.995, "exact").low
                    assert paired_upper_bound(lost, gained, trials) == pytest.approx(high - low, abs=1e-10)


@pytest.mark.parametrize("trials", [5, 20])
def test_clopper_pearson_covers_every_true_share_at_least_95_times_in_100(trials: int) -> None:
    """Summed over all outcomes, not sampled."""
    intervals = [clopper_pearson(successes, trials) for successes in range(trials + 1)]
    for share in (step / 50 for step in range(1, 50)):
        coverage = sum(
            math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)
            for hits, found in enumerate(intervals)
            if found.low <= share <= found.high
        )
        assert coverage >= 0.95


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (6, 5), (-1, 5)])
def test_a_share_of_nothing_has_no_interval(successes: int, trials: int) -> None:
    """Nor one of more than there is."""
    with pytest.raises(ValueError, match="must|less|greater"):
        clopper_pearson(successes, trials)


def test_a_ratio_of_medians_lies_in_its_interval() -> None:
    """Twice as slow, with some noise."""
    fast = tuple(1 + step / 100 for step in range(20))
    ratio, interval = ratio_of_medians(tuple(2 * value for value in fast), fast)
    assert ratio == pytest.approx(2.0)
    assert 1.8 < interval.low < ratio < interval.high < 2.2


def test_the_same_samples_give_the_same_interval() -> None:
    """A verdict does not change when it is judged again."""
    mine, other = (1.0, 1.1, 1.3, 0.9), (1.0, 1.2, 0.8)
    assert ratio_of_medians(mine, other) == ratio_of_medians(mine, other)


def test_one_sample_has_no_interval() -> None:
    """On either side."""
    with pytest.raises(ValueError, match="two values on each side, got 1 and 2"):
        ratio_of_medians((1.0,), (1.0, 2.0))


def test_a_one_sided_mcnemar_test_gives_the_tabulated_values(subtests: pytest.Subtests) -> None:
    """From tables of the sign test, as the exact test is one on the prompts that differ."""
    for lost, gained, p in [
        (0, 0, 1.0),
        (5, 0, 0.03125),
        (6, 0, 0.015625),
        (8, 1, 0.01953125),
        (10, 2, 0.019287109375),
        (1, 5, 0.984375),
    ]:
        with subtests.test(lost=lost, gained=gained, p=p):
            assert mcnemar_greater(lost, gained) == pytest.approx(p)


def test_holm_gives_the_worked_values() -> None:
    """Four tests: 0.01, 0.04, 0.03 and 0.005 become 0.03, 0.06, 0.06 and 0.02 (Wright 1992 and R's p.adjust)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_one_test_changes_nothing_and_never_exceeds_1() -> None:
    """Nor has a family without tests anything to adjust."""
    assert holm([0.03]) == [0.03]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("trials", "bound"), [(201, 0.01531), (69, 0.04395), (20, 0.14363)])
def test_losing_nothing_leaves_what_the_trials_can_rule_out(trials: int, bound: float) -> None:
    """By hand: 1 minus the n-th root of 0.045."""
    assert paired_upper_bound(0, 0, trials) == pytest.approx(bound, abs=5e-6)
    assert paired_upper_bound(0, 0, trials) == pytest.approx(1 - 0.045 ** (1 / trials))


def test_the_paired_bound_covers_the_true_loss_at_least_95_times_in_100() -> None:
    """Summed over all outcomes of 10 prompts, not sampled, for losses and gains of many sizes."""
    outcomes = [(lost, gained) for lost in range(11) for gained in range(11 - lost)]
    bounds = {outcome: paired_upper_bound(*outcome, 10) for outcome in outcomes}
    for loses, gains in ((one / 20, other / 20) for one in range(21) for other in range(21 - one)):
        coverage = sum(
            math.comb(10, lost)
            * math.comb(10 - lost, gained)
            * loses**lost
            * gains**gained
            * max(0.0, 1 - loses - gains) ** (10 - lost - gained)
            for (lost, gained), bound in bounds.items()
            if bound >= loses - gains - 1e-12
        )
        assert coverage >= 0.95 - 1e-9


@pytest.mark.parametrize(("lost", "gained", "trials"), [(0, 0, 0), (3, 3, 5), (-1, 0, 5)])
def test_a_loss_of_nothing_has_no_bound(lost: int, gained: int, trials: int) -> None:
    """Nor one of more than there is."""
    with pytest.raises(ValueError, match="must|less|greater|integer"):
        paired_upper_bound(lost, gained, trials)


def test_values_of_a_cluster_are_not_independent() -> None:
    """Ten lost prompts of one topic bound less than ten of ten topics."""
    values = [1] * 10 + [0] * 90
    apart = clustered_upper_bound(values, [str(i) for i in range(100)])
    together = clustered_upper_bound(values, ["one"] * 10 + [str(i) for i in range(90)])
    assert 0.1 < apart < together


def test_a_clustered_bound_of_independent_values_is_near_the_normal_one() -> None:
    """Ten of a hundred: 0.1 + 1.645 standard errors of 0.03."""
    bound = clustered_upper_bound([1] * 10 + [0] * 90, [str(i) for i in range(100)])
    assert bound == pytest.approx(0.1 + 1.645 * 0.03, abs=0.011)


def test_a_single_cluster_bounds_nothing() -> None:
    """There is nothing to resample, so the largest loss there is cannot be ruled out."""
    assert clustered_upper_bound([0, 0, 1], ["a", "a", "a"]) == 1.0
    with pytest.raises(ValueError, match="no values"):
        clustered_upper_bound([], [])
