"""Whether a change is slower: values of blocks, bounds, and how often two looks at a run are wrong."""

from __future__ import annotations

import math

import pytest

from phase8.core.lazy_imports import np
from phase8.stats.ab_blocks import LEAST, LEVEL, LOOK_LEVEL, block_value, bounds, judge

LIMIT = 1.05


def noise(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """Centred noise of unit variance; spiky has one block in ten that is six times as wide."""
    if kind == "heavy":
        return rng.standard_t(3, count) / math.sqrt(3)
    if kind == "spiky":
        wide = np.where(rng.random(count) < 0.1, 6.0, 1.0)
        return rng.normal(size=count) * wide / math.sqrt(0.9 + 0.1 * 36)
    return rng.normal(size=count)


def test_a_block_is_the_median_of_its_turns() -> None:
    """Every A B B A is one turn: two neighbours of each side."""
    assert block_value([1, 1, 2, 2, 9, 9], [2, 2, 2, 2, 9, 9]) == pytest.approx(0)
    assert block_value([1, 1], [1.1, 1.1]) == pytest.approx(math.log(1.1))


def test_drift_cancels_out() -> None:
    """A machine that slows down steadily: A at 0 and 3, B at 1 and 2."""
    pace = [1.0 + 0.1 * moment for moment in range(8)]
    baseline, change = [pace[i] for i in (0, 3, 4, 7)], [pace[i] for i in (1, 2, 5, 6)]
    assert block_value(baseline, change) == pytest.approx(0, abs=1e-12)


def test_a_turn_that_is_not_whole_counts_for_nothing() -> None:
    """Replies of different length leave pairs over."""
    assert block_value([1, 1, 5], [2, 2]) == pytest.approx(math.log(2))
    assert block_value([1], [2]) is None
    assert block_value([], []) is None


def test_the_bounds_are_students_where_blocks_are_symmetric() -> None:
    """SciPy's interval of the same values; ours is never narrower."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(3)
    values = 0.01 + 0.02 * rng.normal(size=16)
    found = bounds(values.tolist(), LIMIT)
    theirs = ttest_1samp(values, 0).confidence_interval(1 - 2 * LOOK_LEVEL)
    assert found.ratio == pytest.approx(math.exp(values.mean()))
    assert math.log(found.low) <= theirs.low + 1e-12
    assert math.log(found.high) >= theirs.high - 1e-12
    assert math.log(found.high / found.low) < 1.4 * (theirs.high - theirs.low)
    assert found.p >= ttest_1samp(values, math.log(LIMIT), alternative="greater").pvalue


def test_blocks_that_agree_need_no_interval() -> None:
    """Equal values leave nothing to chance."""
    assert bounds([0.0] * 8, LIMIT) == (1.0, 1.0, 1.0, 1.0)
    assert bounds([math.log(1.2)] * 8, LIMIT).p == 0.0


def test_few_blocks_bound_nothing() -> None:
    """Fewer than four are refused."""
    with pytest.raises(ValueError, match=f"at least {LEAST}"):
        bounds([0.0] * (LEAST - 1), LIMIT)


def test_a_ratio_at_the_limit_is_rarely_called_either(subtests: pytest.Subtests) -> None:
    """At the limit itself both calls are wrong: each in 2.5 % of looks, and a little more with wild blocks."""
    for kind in ["normal", "heavy", "spiky"]:
        for count in [8, 16]:
            with subtests.test(count=count, kind=kind):
                rng, tries = np.random.default_rng(count), 600
                found = [
                    bounds((math.log(LIMIT) + 0.02 * noise(kind, rng, count)).tolist(), LIMIT) for _ in range(tries)
                ]
                regressed = sum(one.p < LOOK_LEVEL for one in found) / tries
                fine = sum(one.high <= LIMIT for one in found) / tries
                print(
                    f"{kind}, {count} blocks: called regressed {regressed:.3f}, fine {fine:.3f}, of {LOOK_LEVEL} each"
                )
                assert max(regressed, fine) <= LOOK_LEVEL + 3 * math.sqrt(LOOK_LEVEL / tries)


def test_skewed_blocks_are_called_wrongly_up_to_twice_as_often(subtests: pytest.Subtests) -> None:
    """Exponential noise about the limit: few blocks show little of its long side. The documentation says so."""
    for sign in [1, -1]:
        for count in [8, 16]:
            with subtests.test(count=count, sign=sign):
                rng, tries = np.random.default_rng(count + sign), 600
                skewed = sign * (rng.exponential(size=(tries, count)) - 1)
                found = [bounds((math.log(LIMIT) + 0.02 * one).tolist(), LIMIT) for one in skewed]
                regressed = sum(one.p < LOOK_LEVEL for one in found) / tries
                fine = sum(one.high <= LIMIT for one in found) / tries
                print(f"skewed by {sign}, {count} blocks: called regressed {regressed:.3f}, fine {fine:.3f}")
                assert max(regressed, fine) <= 2 * LOOK_LEVEL + 3 * math.sqrt(LOOK_LEVEL / tries)


def two_looks(ratios: dict[tuple[str, str], float], spread: float, rng: np.random.Generator) -> dict[str, int]:
    """The outcomes of one run of 8 and 16 blocks, by name."""
    values = {key: math.log(ratio) + spread * noise("heavy", rng, 16) for key, ratio in ratios.items()}
    first = judge({key: one[:8].tolist() for key, one in values.items()}, LIMIT, {})
    decided = {key: one for key, one in first.items() if one.outcome != "inconclusive"}
    outcomes = [one.outcome for one in judge({k: v.tolist() for k, v in values.items()}, LIMIT, decided).values()]
    return {outcome: outcomes.count(outcome) for outcome in ("regressed", "fine", "inconclusive")}


def test_two_looks_at_a_whole_run_keep_their_level() -> None:
    """Twelve quantities, each exactly at the limit: a run that calls any of them regressed is a false alarm."""
    rng, tries = np.random.default_rng(5), 150
    ratios = {(variant, str(quantity)): LIMIT for variant in ("a", "b") for quantity in range(6)}
    alarms = sum(two_looks(ratios, 0.02, rng)["regressed"] > 0 for _ in range(tries)) / tries
    print(f"false alarms of a run at the limit: {alarms:.3f} of {LEVEL}")
    assert alarms <= LEVEL + 3 * math.sqrt(LEVEL / tries)


def test_an_equal_run_is_fine_and_a_slow_quantity_is_found() -> None:
    """Blocks that vary by 2 %: equal sides are fine, one quantity 12 % slower is regressed and the others fine."""
    rng, tries = np.random.default_rng(6), 60
    equal = {("a", str(quantity)): 1.0 for quantity in range(6)}
    fine = sum(two_looks(equal, 0.02, rng)["fine"] == 6 for _ in range(tries))
    found = sum(two_looks(equal | {("a", "0"): 1.12}, 0.02, rng)["regressed"] == 1 for _ in range(tries))
    assert fine >= 0.95 * tries
    assert found >= 0.95 * tries


def test_what_a_look_decided_stays() -> None:
    """The second look's blocks cannot take back the first's verdict, nor the bounds that were its reason."""
    key = ("a", "token_s")
    first = judge({key: [0.001 * i for i in range(8)]}, LIMIT, {})
    worse = {key: [math.log(1.2) + 0.001 * i for i in range(16)]}
    assert judge(worse, LIMIT, {})[key].outcome == "regressed"
    found = judge(worse, LIMIT, first)[key]
    assert (found.outcome, found.blocks, found) == ("fine", 8, first[key])


def test_what_is_decided_stays_in_the_family() -> None:
    """Deciding the others first makes no p smaller."""
    rng = np.random.default_rng(12)
    values = {("a", str(i)): (0.01 * rng.normal(size=8)).tolist() for i in range(5)}
    first = judge(values, LIMIT, {})
    slow = ("a", "0")
    late = {slow: [math.log(LIMIT) + 0.008 + 0.01 * x for x in rng.normal(size=16)]}
    found = judge(values | late, LIMIT, {key: one for key, one in first.items() if key != slow})[slow]
    assert found.adjusted_p == pytest.approx(min(1, 5 * found.bounds.p))


def test_holm_counts_every_quantity_of_the_run() -> None:
    """A p that is small alone is no news among many."""
    rng = np.random.default_rng(11)
    values = (math.log(LIMIT) + 0.009 + 0.01 * rng.normal(size=8)).tolist()
    alone = judge({("a", "0"): values}, LIMIT, {})["a", "0"]
    crowd = {("b", str(i)): (0.01 * rng.normal(size=8)).tolist() for i in range(30)}
    among = judge({("a", "0"): values} | crowd, LIMIT, {})["a", "0"]
    assert among.adjusted_p == pytest.approx(min(1, 31 * alone.bounds.p))
    assert alone.adjusted_p == alone.bounds.p
