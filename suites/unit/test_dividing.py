"""Splits are filled exactly, and what is left out has the right reason."""

from collections import Counter

import pytest

from phase8.core.errors import InvalidInput
from phase8.corpus.mining.example import Example
from phase8.corpus.near_duplicates import Index
from phase8.corpus.split.assign import Divider
from phase8.corpus.split.pruning import HELD_OUT, NEAR_DUPLICATE, SHARE, UNSEEN
from phase8.corpus.split.quotas import NAMES, Quota
from suites.unit.examples import direct, tool, written

WANTED = {"train": Quota(tool=24, direct=8), "valid": Quota(tool=3, direct=1), "test": Quota(tool=4, direct=2)}
TREES = ("Amber", "Birch", "Cedar", "Dahlia", "Elder", "Fern", "Ginkgo", "Hazel", "Iris", "Juniper", "Larch", "Maple")
NOUNS = tuple(f"{tree}{part}" for tree in TREES for part in ("", "Leaf"))


def pool() -> list[Example]:
    """Twenty-four symbols, each in four tool phrasings and one question."""
    ways = ("Where can one see {}", "{} - any subclasses", "grep for {}, please", "hits of {}")
    asked = [tool(way.format(noun), noun, f"way-{i}") for i, way in enumerate(ways) for noun in NOUNS]
    return asked + [direct(f"{noun}: what is it for?", noun, "doc-for") for noun in NOUNS]


def divided(
    examples: list[Example],
    unseen: frozenset[str] = frozenset(),
    wanted: dict[str, Quota] = WANTED,
    unseen_share: float = 0.5,
) -> Divider:
    """Filled splits."""
    divider = Divider(examples, wanted, unseen, 8, unseen_share)
    divider.fill()
    return divider


def test_every_quota_is_filled_exactly() -> None:
    """For each split and kind."""
    splits = divided(pool()).splits
    assert {name: Quota(**Counter(e.kind for e in splits[name])) for name in NAMES} == WANTED


def test_no_topic_is_in_two_splits() -> None:
    """Whatever kind of reply it wants."""
    topics = [{e.group for e in rows} for rows in divided(pool()).splits.values()]
    assert sum(map(len, topics)) == len(set.union(*topics))


def test_half_of_the_test_split_is_unseen_and_no_other_split_is() -> None:
    """Two of its four tool queries."""
    splits = divided(pool(), frozenset({"way-1"})).splits
    assert sum(e.provenance.phrasing == "way-1" for e in splits["test"]) == 2
    assert not [e for e in (*splits["train"], *splits["valid"]) if e.provenance.phrasing == "way-1"]


@pytest.mark.parametrize(("unseen_share", "count"), [(0.0, 0), (0.25, 1), (1.0, 4)])
def test_the_profile_says_how_much_of_the_test_split_is_unseen(unseen_share: float, count: int) -> None:
    """Of its four tool queries."""
    splits = divided(pool(), frozenset({"way-1"}), unseen_share=unseen_share).splits
    assert sum(e.provenance.phrasing == "way-1" for e in splits["test"]) == count


def test_training_takes_every_phrasing_in_turn() -> None:
    """No phrasing has two rows more than another that has candidates left."""
    wanted = WANTED | {"train": Quota(tool=12, direct=4)}
    phrasings = Counter(e.provenance.phrasing for e in divided(pool(), wanted=wanted).splits["train"] if e.call)
    assert len(phrasings) == 4
    assert max(phrasings.values()) - min(phrasings.values()) <= 1


def test_hand_written_examples_come_before_mined_ones() -> None:
    """All of them, spread over the splits in proportion."""
    answers = [written(f"Question number {word}?", f"topic-{word}") for word in ("one", "two", "three", "four", "five")]
    splits = divided([*pool(), *answers]).splits
    assert sum(e.preferred for rows in splits.values() for e in rows) == 5
    assert sum(e.preferred for e in splits["test"]) == 1


def test_near_duplicates_are_not_in_two_splits() -> None:
    """Queries in long phrasings about short names are alike."""
    asked = [tool(f"How many of the Python files mention the class {n} somewhere", n, "long") for n in NOUNS[:6]]
    splits = divided([*pool(), *asked]).splits
    pairs = [(a, b) for a in splits["train"] for name in ("valid", "test") for b in splits[name]]
    assert pairs
    assert not [(a.query, b.query) for a, b in pairs if Index([b.query]).highest(a.query) >= 0.8]


def test_what_is_left_out_says_why() -> None:
    """One reason each, and it holds."""
    divider = divided([*pool(), *(tool(f"{n} in wood", n, "way-5") for n in NOUNS)], frozenset({"way-1"}))
    chosen = {e.id for rows in divider.splits.values() for e in rows}
    held_out = {e.group for name in ("valid", "test") for e in divider.splits[name]}
    left_out = list(divider.left_out())
    assert {e.id for e in left_out} | chosen == {e.id for e in divider.examples}
    assert not {e.id for e in left_out} & chosen
    assert {e.phrasing for e in left_out if e.reason == UNSEEN} == {"way-1"}
    assert all((e.group in held_out) == (e.reason == HELD_OUT) for e in left_out if e.reason != UNSEEN)
    assert {e.reason for e in left_out} <= {UNSEEN, HELD_OUT, NEAR_DUPLICATE, SHARE}


def test_a_near_duplicate_of_a_held_out_query_is_named_as_such() -> None:
    """Other symbols, nearly the same words: training has room for them and still leaves them out."""
    asked = [tool(f"How many of the Python files mention the class {n} somewhere", n, "long") for n in NOUNS[:6]]
    divider = divided([*pool(), *asked], wanted=WANTED | {"train": Quota(tool=24, direct=2)})
    held_out = [e.query for name in ("valid", "test") for e in divider.splits[name]]
    near = {
        e.id
        for e in divider.left_out()
        if e.reason in (NEAR_DUPLICATE, SHARE) and Index(held_out).highest(e.query) >= 0.8
    }
    assert near == {e.id for e in divider.left_out() if e.reason == NEAR_DUPLICATE} != set()


def test_topics_that_cannot_be_kept_apart_are_refused() -> None:
    """Two examples of one topic cannot fill two splits."""
    twins = [direct("What is Amber?", "Amber"), direct("Explain Amber", "Amber")]
    none = Quota(tool=0, direct=0)
    wanted = {"train": Quota(tool=0, direct=1), "valid": none, "test": Quota(tool=0, direct=1)}
    with pytest.raises(InvalidInput, match="missing 1 direct for train"):
        divided(twins, wanted=wanted)
