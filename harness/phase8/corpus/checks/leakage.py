"""Measures what leaks between finished splits, independently of how they were made, and refuses any leak."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from phase8.core.errors import InvalidInput
from phase8.corpus.mining.example import Example
from phase8.corpus.near_duplicates import NEAR_DUPLICATE, NEAR_HELD_BACK, Index, near_pairs
from phase8.corpus.split.decontamination import HeldBack
from phase8.corpus.split.topics import keys
from phase8.record.run import Leakage


def measure(
    splits: Mapping[str, Sequence[Example]], held_back: Mapping[str, HeldBack], unseen: frozenset[str]
) -> Leakage:
    """Count what leaks over all pairs of ``splits``, and of training and ``held_back`` queries.

    ``unseen`` are the phrasings that were kept for the test split.
    """
    queries = {name: [e.query for e in examples] for name, examples in splits.items()}
    named = dict(zip(splits, _names(splits), strict=True))
    pairs = list(combinations(splits, 2))
    asked = {name: [a.query for a in held.asked] for name, held in held_back.items()}
    mined = {name: {e.provenance.phrasing for e in examples if not e.preferred} for name, examples in splits.items()}
    highest = {f"{a}-{b}": _highest(queries[a], queries[b]) for a, b in pairs}
    highest |= {f"{split}-{name}": _highest(queries[split], asked[name]) for split in splits for name in asked}
    return Leakage(
        shared_symbols=len(set().union(*(named[a] & named[b] for a, b in pairs))),
        near_duplicates=sum(len(near_pairs(queries[a], queries[b], NEAR_DUPLICATE)) for a, b in pairs),
        near_held_back=sum(len(near_pairs(queries["train"], asked[name], NEAR_HELD_BACK)) for name in asked),
        shared_nouns=sum(any(held.shares_noun(e) for held in held_back.values()) for e in splits["train"]),
        shared_phrasings=len(unseen & (mined["train"] | mined["valid"])),
        near_duplicate_limit=NEAR_DUPLICATE,
        near_held_back_limit=NEAR_HELD_BACK,
        highest={pair: round(similarity, 4) for pair, similarity in highest.items()},
        phrasings=len(set().union(*mined.values())),
        unseen_phrasings=tuple(sorted(unseen & mined["test"])),
        unseen_test_rows=sum(e.provenance.phrasing in unseen for e in splits["test"]),
    )


def require_none(leakage: Leakage) -> None:
    """Refuse splits that leak.

    Raises:
        InvalidInput: a count that must be 0 is not.
    """
    counts = {
        "symbols in two splits": leakage.shared_symbols,
        f"pairs across splits with a similarity of {leakage.near_duplicate_limit} or more": leakage.near_duplicates,
        f"training queries {leakage.near_held_back_limit} or more like a canonical query or probe": (
            leakage.near_held_back
        ),
        "training queries with intent and noun of a canonical query or probe": leakage.shared_nouns,
        "phrasings of the test split alone that training has too": leakage.shared_phrasings,
    }
    if found := [f"{count} {what}" for what, count in counts.items() if count]:
        raise InvalidInput(f"corpus: the splits leak: {'; '.join(found)}. Allowed: none. Choose another corpus.seed.")


def _names(splits: Mapping[str, Sequence[Example]]) -> list[set[str]]:
    """The normalised names that each split's examples are about."""
    named = iter(keys([e for examples in splits.values() for e in examples]))
    return [set().union(*(next(named) for _ in examples)) for examples in splits.values()]


def _highest(left: Sequence[str], right: Sequence[str]) -> float:
    index = Index(right)
    return max(map(index.highest, left), default=0.0)
