"""Examples about one thing are recognised as such, however they name it."""

from phase8.corpus.split.topics import keys, topics
from suites.unit.examples import direct, tool, written


def test_a_call_and_an_answer_about_one_symbol_are_one_topic() -> None:
    """A contrast pair stays together; another symbol is another topic."""
    pair = [tool("Show me Paginator", "Paginator"), direct("What is Paginator for?", "Paginator")]
    first, second, other = topics([*pair, direct("What is Page?", "Page")])
    assert first == second != other


def test_ways_of_writing_do_not_make_another_symbol() -> None:
    """A decorator and the function that it is."""
    named = keys([tool("Find uses of @cached", "@cached"), direct("What does cached() do?", "cached()")])
    assert named == [{"cached"}, {"cached"}]


def test_a_hand_written_answer_is_about_the_symbols_it_names() -> None:
    """Not about words that only look like one."""
    mined = [tool("Find ForeignKey", "ForeignKey"), tool("Find form", "form")]
    assert keys([*mined, written("Why does a form need a ForeignKey?", "django-key")])[-1] == {
        "django-key",
        "foreignkey",
    }


def test_topics_are_linked_through_others() -> None:
    """A shares with B, B with C: they cannot be in two splits."""
    chain = [written("What is a ForeignKey?", "django-key"), written("Why use keys?", "django-key")]
    found = topics([tool("Find ForeignKey", "ForeignKey"), *chain])
    assert len(set(found)) == 1


def test_no_examples_have_no_topics() -> None:
    """Nothing to link."""
    assert topics([]) == []
