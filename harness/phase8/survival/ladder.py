"""From the scores of every rung to the ladder as it is recorded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import np
from phase8.record.ladder import Decisions, Estimate, LadderRecord, Recovery, RungRecord, TokenSummary
from phase8.record.run import Reply, Suite
from phase8.record.scores import Scores
from phase8.stats.proportions import clopper_pearson
from phase8.survival.recovery import estimate, recovery, token_groups


class Rung(NamedTuple):
    """One variant with its scores, and its whole replies where the profile judges it."""

    name: str
    kind: str
    bits: int | None
    scores: Scores
    replies: Sequence[Reply] | None


def ladder(rungs: Sequence[Rung], reference: str, reason: str, adapter: Sequence[Reply], floor: float) -> LadderRecord:
    """The ladder's record.

    Args:
        rungs: in their order; ``base``, the reference and the live adapter are among them.
        reference: the name of the rung that divergence and recovery are measured from.
        reason: why it is this one.
        adapter: the live adapter's whole replies, which flips are counted against.
        floor: the recovery that must be left.

    Raises:
        InvalidInput: the base, the adapter or the reference gave no numbers for some tokens.
    """
    named = {rung.name: rung for rung in rungs}
    for name in ("base", "adapter", reference):
        if without := named[name].scores.file.without_number:
            raise InvalidInput(
                f"{name}: {without} of {len(named[name].scores.tokens.nll)} held-out tokens have no likelihood that is "
                "a number, so nothing can be measured from it. Its weights overflow or are damaged"
            )
    file = named[reference].scores.file
    return LadderRecord(
        reference=reference,
        reference_reason=reason,
        rows=len(file.rows),
        tokens=len(named[reference].scores.tokens.nll),
        groups=len({row.group for row in file.rows}),
        opening=file.opening,
        rungs=tuple(_rung(rung, named, named[reference], adapter, floor) for rung in rungs),
    )


def _rung(rung: Rung, named: Mapping[str, Rung], reference: Rung, adapter: Sequence[Reply], floor: float) -> RungRecord:
    scores, read_to = rung.scores, rung.scores.file.read_to
    replies = scores.file.replies if rung.replies is None else rung.replies
    call = scores.tokens.call
    margins, live = (_margins(s) for s in (scores, named["adapter"].scores))
    groups = np.array([margin.group for margin in scores.file.margins])
    once = np.ones(len(margins))
    return RungRecord(
        variant=rung.name,
        kind=rung.kind,
        bits=rung.bits,
        judged=rung.replies is not None,
        bits_per_weight=scores.file.bits_per_weight,
        size_bytes=scores.file.size_bytes,
        tokens=_tokens(scores, np.ones(len(call), bool)),
        calls=_tokens(scores, call) if call.any() else None,
        prose=_tokens(scores, ~call) if (~call).any() else None,
        canonical=_right(replies, "canonical"),
        held_out=_right(replies, "held-out"),
        read_to=None if rung.replies is not None else read_to,
        flips=_flips(replies, adapter, scores.file.opening),
        margin=estimate(margins, once, groups),
        drift=estimate(margins - live, once, groups),
        recovery=_recovery(rung, named, reference, floor),
        without_number=scores.file.without_number,
    )


def _recovery(rung: Rung, named: Mapping[str, Rung], reference: Rung, floor: float) -> Recovery | None:
    if rung.kind != "fused":
        return None
    zero = named.get(f"zero-{rung.bits}bit") if rung.name == f"fused-{rung.bits}bit" else None
    live = None if reference.name == "adapter" else named["adapter"].scores
    control = zero.scores if zero else None
    return recovery(rung.scores, named["base"].scores, reference.scores, control, floor, live)


def _margins(scores: Scores) -> np.ndarray:
    return np.array([margin.signed for margin in scores.file.margins])


def _tokens(scores: Scores, chosen: np.ndarray) -> TokenSummary:
    tokens, clusters = scores.tokens, token_groups(scores)[chosen]

    def mean(values: np.ndarray) -> Estimate:
        return estimate(values[chosen], np.ones(int(chosen.sum())), clusters)

    median, p90, p99, most = (float(q) for q in np.quantile(tokens.kl[chosen], [0.5, 0.9, 0.99, 1.0]))
    return TokenSummary(
        nll=mean(tokens.nll),
        kl=mean(tokens.kl),
        kl_median=median,
        kl_p90=p90,
        kl_p99=p99,
        kl_max=most,
        same_top=mean(tokens.same),
    )


def _first_turns(replies: Sequence[Reply]) -> dict[tuple[str, str], Reply]:
    return {(r.suite, r.case): r for r in replies if r.turn == 1 and r.suite != "probe"}


def _right(replies: Sequence[Reply], suite: Suite) -> Decisions | None:
    found = [reply for (of, _), reply in _first_turns(replies).items() if of == suite]
    return _counted([reply.correct for reply in found])


def _flips(replies: Sequence[Reply], adapter: Sequence[Reply], opening: str) -> Decisions | None:
    theirs = _first_turns(adapter)
    pairs = [(reply, theirs[key]) for key, reply in _first_turns(replies).items() if key in theirs]
    return _counted([_opens(mine, opening) != _opens(other, opening) for mine, other in pairs])


def _opens(reply: Reply, opening: str) -> bool:
    """Whether a reply begins a tool call, however it goes on: all that can be said of one that was cut."""
    return reply.decision == "call" or reply.text.lstrip().startswith(opening)


def _counted(hits: Sequence[bool]) -> Decisions | None:
    if not hits:
        return None
    return Decisions(hits=sum(hits), prompts=len(hits), interval=clopper_pearson(sum(hits), len(hits)))
