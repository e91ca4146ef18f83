"""Pruning: every candidate that the corpus leaves out, with the first reason that applies to it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from phase8.core.same_query import folded
from phase8.core.values import Frozen
from phase8.corpus.mining.example import Example
from phase8.corpus.split.quotas import Kind

OUTSIDE = "outside the domain"
CANONICAL = "about a canonical query"
NEAR_PROBE = "near a probe"
ROW, CALL, ANSWER = "row too long", "call too long", "answer too long"
DUPLICATE = "duplicate query"
UNSEEN = "phrasing kept for the test split"
HELD_OUT = "about a symbol of a held-out split"
NEAR_DUPLICATE = "near-duplicate of a chosen query"
SHARE = "more than its share of the phrasing"
# In the order in which they are looked at.
REASONS = (OUTSIDE, CANONICAL, NEAR_PROBE, ROW, CALL, ANSWER, DUPLICATE, UNSEEN, HELD_OUT, NEAR_DUPLICATE, SHARE)


class Exclusion(Frozen):
    """One line of ``exclusions.jsonl``: a candidate that was left out."""

    id: str
    kind: Kind
    group: str
    query: str
    distribution: str | None
    symbol: str
    phrasing: str
    reason: str


def exclude(example: Example, reason: str) -> Exclusion:
    """A candidate with the reason why it was left out."""
    origin = example.provenance
    return Exclusion(
        **example.model_dump(include={"id", "kind", "group", "query"}),
        distribution=origin.distribution,
        symbol=origin.symbol,
        phrasing=origin.phrasing,
        reason=reason,
    )


def prune(
    pool: Iterable[Example], rules: Sequence[Callable[[Example], str | None]]
) -> tuple[list[Example], list[Exclusion]]:
    """The candidates that no rule leaves out, and the others, each with the reason of the first rule that does."""
    kept, excluded = [], []
    for example in pool:
        reason = next((found for rule in rules if (found := rule(example))), None)
        if reason:
            excluded.append(exclude(example, reason))
        else:
            kept.append(example)
    return kept, excluded


def duplicates() -> Callable[[Example], str | None]:
    """A rule that lets the first of several equal queries pass."""
    seen: set[str] = set()

    def rule(example: Example) -> str | None:
        query = folded(example.query)
        if query in seen:
            return DUPLICATE
        seen.add(query)
        return None

    return rule


def by_reason(exclusions: Iterable[Exclusion]) -> dict[str, int]:
    """How many candidates each reason left out, in the order of the reasons."""
    counted = Counter(exclusion.reason for exclusion in exclusions)
    return {reason: counted[reason] for reason in REASONS if counted[reason]}
