"""What probes, phrasings and the adapter say of each variant."""

from phase8.record.run import Reply
from phase8.report.breakdown import breakdowns
from phase8.report.rows import Proportion
from suites.unit.records import held_out, loss, probes, record, variant, verdict


def unseen(replies: tuple[Reply, ...], count: int) -> tuple[Reply, ...]:
    """The first replies as ones to phrasings that training never saw."""
    return tuple(one.model_copy(update={"unseen": i < count}) for i, one in enumerate(replies))


def test_a_run_without_probes_phrasings_or_adapter_has_nothing_to_tell() -> None:
    """Its report has no such section."""
    assert breakdowns(record()) == []


def test_probes_are_broken_down_by_label_and_by_category() -> None:
    """Shares with their trials, and the replies that ran on."""
    endless = probes(5, of=6)[5].model_copy(update={"finish": "length"})
    (found,) = breakdowns(record(variants=(variant(replies=(*probes(5, of=6)[:5], endless)),)))
    assert found.probes == Proportion.of(5, 6)
    assert [(row.label, row.prompts) for row in found.matrix] == [("tool", 4), ("direct", 2)]
    assert [(one.category, one.right) for one in found.categories] == [
        ("contrast-direct", Proportion.of(1, 2)),
        ("contrast-tool", Proportion.of(4, 4)),
    ]
    assert found.unended == 1


def test_seen_and_unseen_phrasings_are_counted_apart() -> None:
    """Seen phrasings make a held-out split look easy."""
    (found,) = breakdowns(record(variants=(variant(replies=unseen(held_out(19, of=20), 5)),)))
    assert (found.unseen, found.seen) == (Proportion.of(5, 5), Proportion.of(14, 15))


def test_phrasings_are_not_told_where_they_are_not_known() -> None:
    """A file made elsewhere does not say which phrasings training saw: all seen would be a claim."""
    (found,) = breakdowns(record(variants=(variant(replies=held_out() + probes()),)))
    assert (found.seen, found.unseen) == (None, None)


def test_lost_prompts_come_with_the_reply_that_lost_them() -> None:
    """What was asked and what came."""
    judged = verdict(gate="accuracy vs adapter", status="inconclusive", paired=loss(lost=("probe-05", "gone")))
    (found,) = breakdowns(record(variants=(variant(replies=probes(5, of=6)),), verdicts=(judged,)))
    assert found.status == "inconclusive"
    first, second = found.lost
    assert first.reply is not None
    assert (first.case, first.reply.decision, second.reply) == ("probe-05", "call", None)
