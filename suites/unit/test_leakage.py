"""Leaks between splits are counted over all pairs, and one is enough to refuse a corpus."""

import pytest

from phase8.core.errors import InvalidInput
from phase8.corpus.checks.leakage import measure, require_none
from phase8.corpus.mining.example import Example
from phase8.corpus.split.decontamination import Asked, HeldBack
from phase8.record.run import Leakage
from suites.unit.examples import direct, tool

HELD = {"canonical": HeldBack([Asked("Find all Django view functions", "tool")]), "probes": HeldBack([])}
CLEAN = {
    "train": [tool("Where is Amber defined?", "Amber"), direct("What is Birch for?", "Birch", "doc-for")],
    "valid": [tool("Where is Cedar set?", "Cedar", "set")],
    "test": [tool("Which file has Dahlia?", "Dahlia", "which-file")],
}


def leaks(split: str, example: Example, unseen: str = "which-file") -> Leakage:
    """The leakage of the clean splits with one more example."""
    return measure(CLEAN | {split: [*CLEAN[split], example]}, HELD, frozenset({unseen}))


def test_clean_splits_leak_nothing() -> None:
    """And the figures say how near they come."""
    found = measure(CLEAN, HELD, frozenset({"which-file"}))
    require_none(found)
    assert (found.phrasings, found.unseen_phrasings, found.unseen_test_rows) == (4, ("which-file",), 1)
    assert set(found.highest) == {
        *("train-valid", "train-test", "valid-test"),
        *(f"{split}-{asked}" for split in CLEAN for asked in HELD),
    }
    assert 0 < found.highest["train-valid"] < 0.8


def test_a_single_leak_is_refused_by_name(subtests: pytest.Subtests) -> None:
    """Each kind of it is counted apart."""
    for split, example, field, message in [
        ("test", direct("Explain Amber", "Amber", "x"), "shared_symbols", "1 symbols in two splits"),
        ("valid", tool("Where is Amber defined", "Oak"), "near_duplicates", "1 pairs across splits"),
        (
            "train",
            tool("Find all Django view function", "Elm", "x"),
            "near_held_back",
            "1 training queries 0.6 or more",
        ),
        ("train", tool("Find Django", "Django", "x"), "shared_nouns", "1 training queries with intent and noun"),
        (
            "train",
            tool("Which file has Oak?", "Oak", "which-file"),
            "shared_phrasings",
            "1 phrasings of the test split",
        ),
    ]:
        with subtests.test(split=split, example=example, field=field, message=message):
            found = leaks(split, example)
            assert getattr(found, field) == 1
            with pytest.raises(InvalidInput, match=message):
                require_none(found)


def test_a_symbol_written_otherwise_is_still_shared() -> None:
    """A decorator is the function that it is."""
    assert leaks("test", tool("hits of @amber", "@amber", "x")).shared_symbols == 1


def test_held_out_queries_may_come_near_held_back_ones() -> None:
    """Only training must not; the figure is reported."""
    found = leaks("test", tool("Find all Django view function", "Elm", "x"))
    assert found.near_held_back == 0
    assert found.highest["test-canonical"] > 0.6
