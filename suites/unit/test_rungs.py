"""From scores to the ladder as it is recorded."""

from __future__ import annotations

from functools import cache

import pytest

from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import np
from phase8.record.run import Reply
from phase8.record.scores import Margin, Scores
from phase8.survival.ladder import Rung, ladder
from suites.unit.records import held_out, reply
from suites.unit.scores import scores


@cache
def nll() -> np.ndarray:
    """Of 40 tokens."""
    return np.linspace(0.5, 2.5, 40)


def rung(name: str, found: Scores, replies: tuple[Reply, ...] | None = None, bits: int | None = None) -> Rung:
    """One rung; its kind is the first part of its name."""
    return Rung(name, name.split("-")[0], bits, found, replies)


def margins(*odds: float) -> tuple[Margin, ...]:
    """One prompt a topic: every second wants a call."""
    return tuple(
        Margin(case=f"row-{i:03d}", suite="held-out", label="tool" if i % 2 else "direct", group=f"g{i}", log_odds=odd)
        for i, odd in enumerate(odds)
    )


LIVE = held_out(10, 10)


@cache
def known() -> list[Rung]:
    """A ladder whose answers are known."""
    return [
        rung("base", scores(nll() + 2), held_out(4, 10)),
        rung("adapter", scores(nll(), margins=margins(-4, 4, -4, 4, -4, 4, -4, 4, -4, 4)), LIVE),
        rung("fused-float", scores(nll())),
        rung("fused-5bit", scores(nll() + 0.1, margins=margins(-3, 3, -4, 1, -4, 4, -4, 4, -4, 4)), held_out(9, 10), 5),
        rung("zero-5bit", scores(nll() + 2.1), bits=5),
    ]


def test_every_rung_is_recorded_in_its_order() -> None:
    """With the rows and topics that were scored, and recovery for fused ones alone."""
    found = ladder(known(), "fused-float", "it fits", LIVE, 0.95)
    assert [one.variant for one in found.rungs] == [one.name for one in known()]
    assert (found.rows, found.tokens, found.groups) == (10, 40, 10)
    assert [one.variant for one in found.rungs if one.recovery] == ["fused-float", "fused-5bit"]
    recovery = found.rungs[3].recovery
    assert recovery is not None
    assert recovery.share is not None
    assert recovery.attribution is not None
    assert abs(recovery.share.value - 0.95) < 1e-6
    assert abs(recovery.attribution.value - 2.0 / 2.1) < 1e-6


def test_margins_are_signed_and_drift_is_against_the_live_adapter() -> None:
    """Odds of a call count against it where an answer is right."""
    found = ladder(known(), "fused-float", "it fits", LIVE, 0.95).rungs[3]
    assert found.margin.value == (3 + 3 + 4 + 1 + 6 * 4) / 10
    assert found.drift.value == (-1 - 1 + 0 - 3) / 10


def test_flips_are_counted_whichever_way_they_go() -> None:
    """Right or wrong: another decision than the live adapter's."""
    found = {one.variant: one for one in ladder(known(), "fused-float", "it fits", LIVE, 0.95).rungs}
    flips = [found[name].flips for name in ("base", "adapter", "fused-5bit")]
    assert [one.hits for one in flips if one] == [6, 0, 1]
    held = found["fused-5bit"].held_out
    assert held is not None
    assert (held.hits, held.prompts) == (9, 10)


def test_a_cut_reply_that_opens_a_call_flips_nothing() -> None:
    """The whole reply of the adapter is a malformed call, the cut one a call: both open one."""
    live = (reply("row-000", suite="held-out", decision="malformed"),)
    cut = (reply("row-000", suite="held-out", text="```json\n"),)
    rungs = [
        *known()[:1],
        rung("adapter", scores(nll()), live),
        known()[2],
        rung("fused-3bit", scores(nll(), replies=cut), None, 3),
    ]
    flips = ladder(rungs, "fused-float", "it fits", live, 0.95).rungs[3].flips
    assert flips is not None
    assert (flips.hits, flips.prompts) == (0, 1)


def test_tokens_of_calls_are_told_from_prose() -> None:
    """Every second token lies in a call and diverges, the others do not."""
    kl = np.where(np.arange(40) % 2 == 0, 0.5, 0.0)
    found = ladder(
        [*known()[:3], rung("fused-4bit", scores(nll(), kl=kl), None, 4)], "fused-float", "it fits", LIVE, 0.95
    ).rungs[3]
    assert found.calls is not None
    assert found.prose is not None
    assert (found.tokens.kl.value, found.calls.kl.value, found.prose.kl.value) == (0.25, 0.5, 0.0)
    assert (found.tokens.kl_median, found.tokens.kl_max) == (0.25, 0.5)


def test_a_run_without_prompts_of_a_kind_counts_none() -> None:
    """No held-out replies is not 0 of 0."""
    assert ladder(known(), "fused-float", "it fits", LIVE, 0.95).rungs[4].held_out is None


@pytest.mark.parametrize("name", ["base", "adapter", "fused-float"])
def test_nothing_is_measured_from_a_model_without_numbers(name: str) -> None:
    """A base whose every token costs 87 nats would make any variant look recovered."""
    broken = scores(nll(), without_number=3)
    rungs = [one._replace(scores=broken) if one.name == name else one for one in known()]
    with pytest.raises(InvalidInput, match=f"{name}: 3 of 40 held-out tokens have no likelihood"):
        ladder(rungs, "fused-float", "it fits", LIVE, 0.95)


def test_a_variant_without_numbers_is_recorded_with_their_count() -> None:
    """It is judged by what it scored, and the report says why that is so much."""
    rungs = [one._replace(scores=scores(nll() + 80, without_number=7)) if one.bits else one for one in known()]
    found = ladder(rungs, "fused-float", "it fits", LIVE, 0.95).rungs[3]
    assert found.recovery is not None
    assert (found.without_number, found.recovery.outcome) == (7, "regressed")


def test_a_float_reference_that_lost_the_adapter_judges_nobody() -> None:
    """It is measured by the live adapter first."""
    lost = [
        one._replace(scores=scores(nll() + 1)) if one.name != "base" and one.name != "adapter" else one
        for one in known()
    ]
    found = ladder(lost, "fused-float", "it fits", LIVE, 0.95)
    assert {one.recovery.outcome for one in found.rungs if one.recovery} == {"reference lost"}
