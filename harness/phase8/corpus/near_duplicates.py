"""Near-duplicates: exact Jaccard similarity of the character 5-grams of two texts, over all pairs.

Shared 5-grams of all 5-grams, case and white space folded; a shorter text counts as one gram. Texts that are the same
query (``same_query.py``) have a similarity of 1, however short they are.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from phase8.core.same_query import folded

NEAR_DUPLICATE = 0.8  # from here on two user turns are near-duplicates
NEAR_HELD_BACK = 0.6  # from here on a training query is too near a query that it must keep away from
_GRAM = 5


class Pair(NamedTuple):
    """The places of two texts in their sequences, and how similar they are: 0 to 1."""

    left: int
    right: int
    similarity: float


def near_pairs(left: Sequence[str], right: Sequence[str], at_least: float) -> list[Pair]:
    """Every pair with a similarity of at least ``at_least`` (above 0), in the order of the texts.

    Exact: a pair is looked at only where the rarest grams of both meet, which no pair above the limit fails to do
    (prefix filtering, Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007).
    """
    lefts, rights = [_grams(text) for text in left], [_grams(text) for text in right]
    frequency = Counter(gram for grams in (*lefts, *rights) for gram in grams)
    places: dict[str, list[int]] = defaultdict(list)
    for place, grams in enumerate(rights):
        for gram in _rarest(grams, frequency, at_least):
            places[gram].append(place)
    same: dict[str, set[int]] = defaultdict(set)
    for place, text in enumerate(right):
        same[folded(text)].add(place)
    pairs = []
    for i, grams in enumerate(lefts):
        equal = same.get(folded(left[i]), set())
        near = {place for gram in _rarest(grams, frequency, at_least) for place in places.get(gram, ())}
        for j in sorted(near | equal):
            similarity = 1.0 if j in equal else _similarity(grams, rights[j])
            if similarity >= at_least:
                pairs.append(Pair(i, j, similarity))
    return pairs


def _grams(text: str) -> frozenset[str]:
    plain = " ".join(text.casefold().split())
    return frozenset(plain[i : i + _GRAM] for i in range(max(1, len(plain) - _GRAM + 1)))


def _similarity(a: frozenset[str], b: frozenset[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _rarest(grams: frozenset[str], frequency: Counter[str], at_least: float) -> list[str]:
    shared = math.ceil(at_least * len(grams) - 1e-9)  # the fewest that a pair above the limit has in common
    return sorted(grams, key=lambda gram: (frequency[gram], gram))[: len(grams) - shared + 1]


class Index:
    """Texts that others are compared with one by one; exact, by the grams that they share."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._sizes: list[int] = []
        self._same: set[str] = set()
        self._places: dict[str, list[int]] = defaultdict(list)
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Take one more text in."""
        grams = _grams(text)
        for gram in grams:
            self._places[gram].append(len(self._sizes))
        self._sizes.append(len(grams))
        self._same.add(folded(text))

    def highest(self, text: str) -> float:
        """The similarity of the nearest text, 0 where nothing is shared."""
        if folded(text) in self._same:
            return 1.0
        grams = _grams(text)
        shared = Counter(place for gram in grams for place in self._places.get(gram, ()))
        return max((n / (len(grams) + self._sizes[place] - n) for place, n in shared.items()), default=0.0)
