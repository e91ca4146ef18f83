"""The phrasings that only the test split asks in: training never sees them, so that they show what was learnt."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from phase8.core.same_query import folded
from phase8.corpus.mining.example import Example
from phase8.corpus.split.quotas import KINDS

SHARE = 5  # one in so many
# Something that a hand-written query may have in the place of a name.
_SLOT = r"\S+(?: \S+){0,2}"
_NAME = "\ue000"  # stands for a name while a query is folded: a letter to it, and in no query


def unseen_phrasings(examples: Sequence[Example], seed: int) -> frozenset[str]:
    """A fifth of the mined phrasings of each kind, evenly over what they run.

    Phrasings that ask in the same words, and those that a hand-written query asks in too, are not among
    them: training would see their words. Hand-written queries are no phrasing of their own.
    """
    written = [folded(e.query) for e in examples if e.preferred]
    found: list[str] = []
    for kind in KINDS:
        phrasings: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            if example.kind == kind and not example.preferred:
                phrasings[example.provenance.phrasing].append(example)
        wanted = max(1, round(len(phrasings) / SHARE)) if len(phrasings) > 1 else 0
        eligible = _distinct(phrasings, written)
        ordered = sorted(eligible, key=lambda name: (_work(phrasings[name][0]), seeded(seed, name)))
        count = min(wanted, len(ordered))
        found += [ordered[int((i + 0.5) * len(ordered) / count)] for i in range(count)]
    return frozenset(found)


def seeded(seed: int, text: str) -> str:
    """A hash that orders texts as if at random, the same for the same seed."""
    return hashlib.sha256(f"{seed} {text}".encode()).hexdigest()


def frame(example: Example) -> str:
    """The words of a query, with ``{}`` for the names that it asks about."""
    origin = example.provenance
    path = PurePosixPath(origin.file)
    names = {origin.symbol, origin.file, path.name, path.parts[0], origin.distribution or "", example.group}
    longest = sorted((name for name in names if name), key=lambda name: (-len(name), name))
    pattern = "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest)
    return folded(re.sub(pattern, _NAME, example.query)).replace(_NAME, "{}")


def _distinct(phrasings: dict[str, list[Example]], written: Iterable[str]) -> list[str]:
    """The phrasings whose words no other phrasing and no hand-written query has."""
    frames = {name: {frame(example) for example in examples} for name, examples in phrasings.items()}
    users: dict[str, set[str]] = defaultdict(set)
    for name, own in frames.items():
        for words in own:
            users[words].add(name)
    asked = list(written)
    return [
        name
        for name, own in frames.items()
        if not any(len(users[words]) > 1 or _is_asked(words, asked) for words in own)
    ]


def _is_asked(words: str, written: Iterable[str]) -> bool:
    pattern = re.compile(_SLOT.join(map(re.escape, words.split("{}"))))
    return any(pattern.fullmatch(query) for query in written)


def _work(example: Example) -> tuple[str, ...]:
    """What a phrasing runs: the tool, the command and its flags."""
    if not example.call:
        return ("",)
    words = str(example.call.arguments.get("command", "")).split()
    return example.call.name, *words[:1], *(word for word in words[1:2] if word.startswith("-"))
