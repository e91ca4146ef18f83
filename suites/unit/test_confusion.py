"""Decisions by label."""

from phase8.stats.confusion import by_category, confusion, in_words
from suites.unit.records import probes, reply


def test_every_decision_is_counted_under_its_label() -> None:
    """A malformed or an empty reply is no right one for either label."""
    replies = [
        reply("a", "tool"),
        reply("b", "tool", decision="malformed"),
        reply("c", "direct", decision="empty"),
        reply("d", "direct"),
        reply("e", "direct", right=False),
    ]
    tool, direct = confusion(replies)
    assert (tool.label, tool.counts, tool.right, tool.prompts) == ("tool", (1, 0, 1, 0), 1, 2)
    assert (direct.label, direct.counts, direct.right, direct.prompts) == ("direct", (1, 1, 0, 1), 1, 3)


def test_a_label_that_nobody_asked_for_has_no_row() -> None:
    """A row of zeros would look like a measurement."""
    assert [row.label for row in confusion([reply("a", "tool")])] == ["tool"]
    assert confusion([]) == ()


def test_the_matrix_reads_as_one_line() -> None:
    """For a verdict's detail."""
    assert in_words(confusion([reply("a", "tool"), reply("b", "tool", right=False)])) == (
        "of 2 tool: 1 call, 1 answer, 0 malformed, 0 empty"
    )


def test_replies_are_told_apart_by_category() -> None:
    """Alphabetically, each reply once."""
    found = by_category(probes(of=6))
    assert list(found) == sorted(found)
    assert sum(map(len, found.values())) == 6
