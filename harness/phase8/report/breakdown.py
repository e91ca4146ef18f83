"""What hard probes, phrasings and the comparison with the adapter say of each variant. Pure; nothing is judged here."""

from collections.abc import Sequence

from phase8.core.values import Frozen
from phase8.record.run import PairedLoss, Reply, RunRecord, Status, VariantRecord
from phase8.record.view import first_turns
from phase8.report.rows import Proportion
from phase8.stats.confusion import DECISIONS, ConfusionRow, by_category, confusion

__all__ = ["DECISIONS", "Breakdown", "CategoryShare", "LostPrompt", "breakdowns"]


class CategoryShare(Frozen):
    """How many probes of one category were decided right."""

    category: str
    right: Proportion


class LostPrompt(Frozen):
    """A prompt that the reference got right and the variant did not; the reply is None where no longer recorded."""

    case: str
    reply: Reply | None


class Breakdown(Frozen):
    """One variant. ``probes`` is None without probes, ``seen`` and ``unseen`` where phrasings are not known.

    ``unended`` counts probes whose reply ran to the token limit or past the stop sequence.
    """

    variant: str
    probes: Proportion | None
    matrix: tuple[ConfusionRow, ...]
    categories: tuple[CategoryShare, ...]
    unended: int
    seen: Proportion | None
    unseen: Proportion | None
    paired: PairedLoss | None
    status: Status | None
    lost: tuple[LostPrompt, ...]


def breakdowns(record: RunRecord) -> list[Breakdown]:
    """One breakdown a variant that has anything to tell, in the order of the record."""
    found = [_breakdown(record, variant) for variant in record.variants]
    return [one for one in found if one.probes or one.unseen or one.paired]


def _breakdown(record: RunRecord, variant: VariantRecord) -> Breakdown:
    probes = first_turns(variant, "probe")
    held_out = first_turns(variant, "held-out")
    unseen = [reply for reply in held_out if reply.unseen]
    seen = [reply for reply in held_out if not reply.unseen] if unseen else []
    judged = next((v for v in record.verdicts if v.variant == variant.name and v.paired), None)
    replies = {reply.case: reply for reply in (*held_out, *probes)}
    return Breakdown(
        variant=variant.name,
        probes=_right(probes),
        matrix=confusion(probes),
        categories=tuple(
            CategoryShare(category=name, right=_proportion(replies)) for name, replies in by_category(probes).items()
        ),
        unended=sum(reply.finish != "stop" or bool(reply.after_stop) for reply in probes),
        seen=_right(seen),
        unseen=_right(unseen),
        paired=judged.paired if judged else None,
        status=judged.status if judged else None,
        lost=tuple(LostPrompt(case=case, reply=replies.get(case)) for case in judged.paired.lost)
        if judged and judged.paired
        else (),
    )


def _right(replies: Sequence[Reply]) -> Proportion | None:
    return _proportion(replies) if replies else None


def _proportion(replies: Sequence[Reply]) -> Proportion:
    return Proportion.of(sum(reply.correct for reply in replies), len(replies))
