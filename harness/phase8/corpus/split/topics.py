"""What examples are about: the names by which examples about one thing are kept in one split."""

import re
from collections.abc import Sequence

from phase8.corpus.mining.example import Example

# A word of prose that can only be a name: inner capitals, an underscore, or a call's parentheses.
_IDENTIFIER = re.compile(r"\b(?=\w*(?:[a-z][A-Z]|[A-Z]{2}[a-z]|_|\w\(\)))[A-Za-z_]\w*")


def normal(name: str) -> str:
    """The name of a symbol or topic without what the way of writing adds: ``@Cached`` and ``cached()`` are one."""
    return name.strip().removeprefix("@").removesuffix("()").casefold()


def identifiers(text: str) -> list[str]:
    """The words of a text that can only be names in code."""
    return _IDENTIFIER.findall(text)


def keys(examples: Sequence[Example]) -> list[frozenset[str]]:
    """The normalised names that each example is about: its topic, its symbol, and mined symbols that prose names."""
    mined = {normal(e.provenance.symbol) for e in examples if e.provenance.distribution}
    found = []
    for example in examples:
        own = {normal(example.group), normal(example.provenance.symbol)}
        if not example.provenance.distribution:
            own |= {normal(word) for word in identifiers(example.query)} & mined
        found.append(frozenset(own))
    return found


def topics(examples: Sequence[Example]) -> list[int]:
    """A number for each example, the same for examples that are linked by shared keys, however indirectly."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    named = keys(examples)
    nodes: dict[str, int] = {}
    pairs = [
        (row, nodes.setdefault(key, len(examples) + len(nodes))) for row, own in enumerate(named) for key in sorted(own)
    ]
    size = len(examples) + len(nodes)
    edges = coo_array(([1] * len(pairs), tuple(zip(*pairs, strict=True)) or ([], [])), shape=(size, size))
    _, labels = connected_components(edges, directed=False)
    return labels[: len(examples)].tolist()
