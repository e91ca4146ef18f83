"""A fifth of the phrasings is kept for the test split, chosen by seed and fairly."""

import pytest

from phase8.corpus.mining.example import Example
from phase8.corpus.split.unseen_templates import frame, unseen_phrasings
from suites.unit.examples import direct, tool, written

COMMANDS = ("grep -rn '{}' .", "grep -rl '{}' .", "grep -c '{}' a.py", "find . -name {}")


def pool(phrasings: int, questions: int = 0) -> list[Example]:
    """Tool phrasings over four kinds of commands, and docstring phrasings."""
    asked = [
        tool(f"Way {i} to see Symbol{n}", f"Symbol{n}", f"way-{i}", COMMANDS[i % 4].format(f"Symbol{n}"))
        for i in range(phrasings)
        for n in range(3)
    ]
    return asked + [
        direct(f"Question {i} on Symbol{n}", f"Symbol{n}", f"question-{i}") for i in range(questions) for n in range(3)
    ]


def test_a_fifth_is_kept(subtests: pytest.Subtests) -> None:
    """At least one where there are two, none of a single one."""
    for phrasings, kept in [(1, 0), (2, 1), (10, 2), (40, 8), (63, 13)]:
        with subtests.test(phrasings=phrasings, kept=kept):
            assert len(unseen_phrasings(pool(phrasings), 8)) == kept


def test_both_kinds_have_unseen_phrasings() -> None:
    """A fifth of each, so that questions are judged too."""
    found = unseen_phrasings(pool(20, 10), 8)
    assert sum(name.startswith("way") for name in found) == 4
    assert sum(name.startswith("question") for name in found) == 2


def test_they_are_spread_over_what_the_phrasings_run() -> None:
    """Of forty phrasings over four commands two each are kept."""
    found = unseen_phrasings(pool(40), 8)
    assert sorted(int(name.removeprefix("way-")) % 4 for name in found) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_seed_decides() -> None:
    """The same for the same seed, others for another."""
    assert unseen_phrasings(pool(40), 8) == unseen_phrasings(pool(40)[::-1], 8) != unseen_phrasings(pool(40), 9)


def test_a_phrasing_in_the_words_of_another_is_not_unseen() -> None:
    """Training would have its words under another name."""
    twins = [tool("Open Shelf", "Shelf", "open-class"), tool("Open Order", "Order", "open-other")]
    assert not unseen_phrasings([*twins, tool("List Box", "Box", "list")], 8) & {"open-class", "open-other"}


def test_a_phrasing_that_hand_written_queries_use_is_not_unseen() -> None:
    """They are trained on."""
    asked = [direct("What is Shelf?", "Shelf", "doc-what"), direct("Explain Order", "Order", "doc-explain")]
    assert unseen_phrasings([*asked, written("What is a virtual environment?", "venv")], 8) == {"doc-explain"}


def test_hand_written_queries_are_no_phrasing() -> None:
    """They differ from each other."""
    assert unseen_phrasings([written("What is CORS?", "cors"), written("Why use REST?", "rest")], 8) == frozenset()


def test_the_frame_of_a_query_leaves_out_what_it_asks_about() -> None:
    """Names of symbol, file and distribution; not words that only contain them."""
    assert frame(tool("Which line of shop/a.py defines Box in Shop? Boxes", "Box")) == (
        "which line of {} defines {} in {}? boxes"
    )
