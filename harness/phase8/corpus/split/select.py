"""Chooses the corpus from the pool: pruned with reasons, divided without leaks."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from phase8.chat.formats import Tools
from phase8.core.errors import InvalidInput
from phase8.corpus.mining.example import Example
from phase8.corpus.near_duplicates import NEAR_HELD_BACK, near_pairs
from phase8.corpus.pool import Splits, messages
from phase8.corpus.split.assign import Divider
from phase8.corpus.split.decontamination import CANONICAL, PROBES, HeldBack, is_held_back, read_asked
from phase8.corpus.split.pruning import CANONICAL as ABOUT_CANONICAL
from phase8.corpus.split.pruning import NEAR_PROBE, OUTSIDE, REASONS, Exclusion, by_reason, duplicates, prune
from phase8.corpus.split.quotas import KINDS, Quota, quotas
from phase8.corpus.split.unseen_templates import unseen_phrasings
from phase8.profile.sections import MinedCorpus, Prompting


def select(
    pool: Sequence[Example],
    corpus: MinedCorpus,
    prompting: Prompting,
    tools: Tools,
    misfit: Callable[[list[dict[str, str]]], str | None],
    held_back: Mapping[str, HeldBack],
) -> Splits:
    """Prune the pool and choose exactly ``corpus.examples`` examples, split by topic without leaks.

    ``misfit`` says why a conversation is too long, or None; ``held_back`` are the queries that training must
    not come near. Whether anything leaks all the same is measured where the corpus is recorded.

    Raises:
        InvalidInput: too few candidates that fit, or too few that can be kept apart.
    """
    rules = [
        lambda e: OUTSIDE if e.provenance.distribution in corpus.outside else None,
        lambda e: ABOUT_CANONICAL if is_held_back(e) else None,
        _near_held_back(pool, held_back),
        lambda e: misfit(messages(e, prompting, tools)),
        duplicates(),
    ]
    # The hand-written of two equal queries stays.
    kept, excluded = prune(sorted(pool, key=lambda e: not e.preferred), rules)
    wanted = quotas(corpus.examples, corpus.tool_share)
    _require_enough(pool, kept, excluded, wanted, corpus)
    unseen = unseen_phrasings(kept, corpus.seed)
    divider = Divider(kept, wanted, unseen, corpus.seed, corpus.unseen_share)
    divider.fill()
    random_ = random.Random(corpus.seed)
    for rows in divider.splits.values():
        random_.shuffle(rows)
    exclusions = sorted([*excluded, *divider.left_out()], key=lambda e: (REASONS.index(e.reason), e.id, e.symbol))
    return Splits(**{n: tuple(rows) for n, rows in divider.splits.items()}, unseen=unseen, exclusions=tuple(exclusions))


def queries_held_back(canonical: Path = CANONICAL, probes: Path = PROBES) -> dict[str, HeldBack]:
    """The canonical queries and the probes of two files."""
    return {"canonical": HeldBack(read_asked(canonical)), "probes": HeldBack(read_asked(probes))}


def _near_held_back(pool: Sequence[Example], held_back: Mapping[str, HeldBack]) -> Callable[[Example], str | None]:
    asked = [a.query for held in held_back.values() for a in held.asked]
    queries = sorted({e.query for e in pool})
    near = {queries[pair.left] for pair in near_pairs(queries, asked, NEAR_HELD_BACK)}
    return lambda e: NEAR_PROBE if e.query in near or any(h.shares_noun(e) for h in held_back.values()) else None


def _require_enough(
    pool: Sequence[Example],
    kept: Sequence[Example],
    excluded: Sequence[Exclusion],
    wanted: dict[str, Quota],
    corpus: MinedCorpus,
) -> None:
    found, fit = (Counter(example.kind for example in examples) for examples in (pool, kept))
    needed = {kind: sum(getattr(quota, kind) for quota in wanted.values()) for kind in KINDS}
    if any(fit[kind] < count for kind, count in needed.items()):
        counts = "; ".join(f"{k}: {found[k]} found, {fit[k]} left, {n} needed" for k, n in needed.items())
        reasons = ", ".join(f"{reason} {count}" for reason, count in by_reason(excluded).items())
        raise InvalidInput(
            f"corpus: the pool is too small. {counts}. Left out: {reasons or 'none'}. "
            f"Raise corpus.row_tokens ({corpus.row_tokens}), add to corpus.distributions or lower corpus.examples."
        )
