"""Near-duplicates are found exactly, all pairs."""

import random

import pytest

from phase8.corpus.near_duplicates import Index, near_pairs

WORDS = ("find", "all", "uses", "of", "Paginator", "session", "where", "is", "the", "file", "ab")


def texts(count: int, seed: int) -> list[str]:
    """Short texts that share many words."""
    random_ = random.Random(seed)
    return [" ".join(random_.choices(WORDS, k=random_.randint(1, 7))) for _ in range(count)]


def brute(a: str, b: str) -> float:
    """The definition, written out."""
    a, b = a.lower(), b.lower()
    first, second = ({text[i : i + 5] for i in range(len(text) - 4)} or {text} for text in (a, b))
    return len(first & second) / len(first | second)


def test_near_pairs_are_those_of_the_definition(subtests: pytest.Subtests) -> None:
    """Over all 14,400 pairs, with none missed and none added."""
    for limit in [0.3, 0.6, 0.8, 1.0]:
        with subtests.test(limit=limit):
            left, right = texts(120, 1), texts(120, 2)
            found = {(pair.left, pair.right) for pair in near_pairs(left, right, limit)}
            assert found == {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if brute(a, b) >= limit}


def test_an_index_finds_the_highest_similarity() -> None:
    """That of the definition, for each text."""
    left, right = texts(100, 3), texts(100, 4)
    index = Index(right)
    assert [index.highest(text) for text in left] == [max(brute(text, other) for other in right) for text in left]


def test_a_text_shorter_than_a_gram_is_its_own() -> None:
    """So that equal short texts are duplicates and others are not."""
    assert Index(["LS  a"]).highest("ls a") == 1
    assert Index(["ls b"]).highest("ls a") == 0


def test_the_same_query_has_a_similarity_of_one() -> None:
    """Though a mark is most of the grams of a short text."""
    assert Index(["Hi"]).highest("hi ?") == 1
    assert near_pairs(["Why?", "Hi"], ["hi!", "Hit"], 0.8) == [(1, 0, 1.0)]


def test_nothing_is_near_where_there_is_nothing() -> None:
    """An empty split leaks nothing."""
    assert Index().highest("Find all views") == 0
    assert near_pairs([], ["Find all views"], 0.6) == []
