"""The queries that no training row may come near: canonical queries and probes."""

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from phase8.cases.cases import CASES
from phase8.core.errors import InvalidInput
from phase8.core.same_query import folded
from phase8.corpus.mining.example import Example
from phase8.corpus.split.quotas import KINDS, Kind
from phase8.corpus.split.topics import identifiers, normal

PROBES = CASES / "probes.jsonl"
CANONICAL = CASES / "canonical.jsonl"
# What the canonical queries are about: nothing near it may be trained on.
_HELD_BACK = re.compile(
    r"userserializer|view functions?\b|dependency injection|\basync\b.*\bawait|\bawait\b|\borm\b.*\bsql\b|\braw sql\b",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r"[\w./-]*\w")


class Asked(NamedTuple):
    """A query that no training row may resemble, and what the right reply to it does."""

    query: str
    label: Kind


def read_asked(path: Path = PROBES) -> list[Asked]:
    """The queries of a JSONL file with ``query`` and ``label`` on each line.

    Raises:
        InvalidInput: no such file, or a line without them.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file. Training queries are kept away from the queries in it: restore it.")
    asked = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            asked.append(Asked(found["query"], found["label"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{path}:{number}: not a query with a label: {error!r}") from error
        if asked[-1].label not in KINDS:
            raise InvalidInput(f"{path}:{number}: label is {asked[-1].label!r}. Allowed: {', '.join(KINDS)}")
    return asked


def is_held_back(example: Example) -> bool:
    """Whether an example is a canonical query or about the topic of one."""
    arguments = example.call.arguments.values() if example.call else ()
    said = "\n".join([example.query, *map(str, arguments), example.result or "", example.answer])
    return folded(example.query) in canonical_queries() or bool(_HELD_BACK.search(said))


@cache
def canonical_queries() -> frozenset[str]:
    """The canonical queries, folded."""
    lines = CANONICAL.read_text(encoding="utf-8").splitlines()
    return frozenset(folded(json.loads(line)["query"]) for line in lines)


def nouns(example: Example) -> list[frozenset[str]]:
    """What an example is about, as words: to mention all words of one of these is to be about the same thing.

    A mined example is about its symbol, a file also by its name alone. A hand-written one is about its
    topic, whose first word is the field (``django-foreign-key``), and about the names in its query.
    """
    symbol = normal(example.provenance.symbol)
    if example.provenance.distribution:
        found = {symbol, normal(example.group)}
        if PurePosixPath(symbol).suffix:
            found.add(PurePosixPath(symbol).name)
        return [frozenset({_stem(name)}) for name in sorted(found)]
    first, *rest = example.group.casefold().split("-")
    words = [_stem(word) for word in rest or [first]]
    named = [normal(word) for word in identifiers(example.query)]
    return [frozenset(words), frozenset({"".join(words)}), *(frozenset({_stem(name)}) for name in named)]


class HeldBack:
    """The queries that training must not come near, with the words of each."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self._words = [(a.label, _words(a.query)) for a in asked]

    def shares_noun(self, example: Example) -> bool:
        """Whether one of the queries wants the same kind of reply about the same thing."""
        about = nouns(example)
        return any(label == example.kind and any(noun <= words for noun in about) for label, words in self._words)


def _words(query: str) -> frozenset[str]:
    """The words of a query; dotted and hyphenated ones in parts too, dotted ones as paths too."""
    found = [word.strip("-./") for word in _WORD.findall(query.casefold())]
    plain = [word for word in found if "/" not in word]
    parts = [part for word in plain for part in re.split(r"[.-]", word)]
    paths = [word.replace(".", "/") for word in plain]
    return frozenset(_stem(word) for word in (*found, *parts, *paths) if word)


def _stem(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
