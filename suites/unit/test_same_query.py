"""When two queries are the same question."""

import pytest

from phase8.core.same_query import folded

CLOSURE = "What is a closure"


@pytest.mark.parametrize(
    "query",
    [
        "What is a closure?",
        " what  is a closure ?! ",
        "WHAT IS\nA\tCLOSURE...",
        '"What is a closure?"',
        "\u201cWhat is a closure\u201d?",
        "(What is a closure?)",
        "- what is a closure -",
        "What\u00a0is a closure\u2026",
        "\uff37hat is a closure\uff1f",
        "What is a\u200b clo\u00adsure?",
        "What is a closure\u3002",
    ],
)
def test_marks_case_spaces_and_forms_of_letters_make_no_other_query(query: str) -> None:
    """Of a sentence, of a quotation, of another keyboard, or not to be seen."""
    assert folded(query) == folded(CLOSURE) == "what is a closure"


def test_a_typographic_apostrophe_is_an_apostrophe() -> None:
    """Inside a query too."""
    assert folded("What\u2019s a closure?") == folded("What's a closure")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is C#?", "What is C?"),
        ("What is C++?", "What is C?"),
        ("What does ** do?", "What does * do?"),
        ("What is foo()?", "What is foo?"),
        ("Show a.py", "Show a py"),
        ("What is a closure?", "What is a clone?"),
        ("?", "!"),
        ("()", "[]"),
    ],
)
def test_what_has_a_meaning_in_code_makes_another_query(one: str, other: str) -> None:
    """And what is all marks is not nothing."""
    assert folded(one) != folded(other)


@pytest.mark.parametrize(
    "query", ['("Hi?")', "- '(what is it)' -", "((a) b)", "...", "stra\u00dfe!", "\ufb01nd \u00bd?"]
)
def test_a_folded_query_stays_as_it_is(query: str) -> None:
    """Nothing is left to fold."""
    assert folded(folded(query)) == folded(query)
