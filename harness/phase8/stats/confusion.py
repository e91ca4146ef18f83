"""What replies decided against what they should have: counts by label and decision. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from phase8.core.values import Frozen
from phase8.record.run import Decision, Label, Reply

LABELS: tuple[Label, ...] = get_args(Label)
DECISIONS: tuple[Decision, ...] = get_args(Decision)


class ConfusionRow(Frozen):
    """The decisions on the prompts of one label; ``counts`` are in the order of ``DECISIONS``."""

    label: Label
    counts: tuple[int, ...]

    @property
    def prompts(self) -> int:
        """How many prompts have this label."""
        return sum(self.counts)

    @property
    def right(self) -> int:
        """How many of them got what they need."""
        return self.counts[DECISIONS.index("call" if self.label == "tool" else "answer")]


def confusion(replies: Iterable[Reply]) -> tuple[ConfusionRow, ...]:
    """One row a label that occurs among the replies."""
    found = Counter((reply.label, reply.decision) for reply in replies)
    rows = [ConfusionRow(label=label, counts=tuple(found[label, d] for d in DECISIONS)) for label in LABELS]
    return tuple(row for row in rows if row.prompts)


def by_category(replies: Sequence[Reply]) -> dict[str, list[Reply]]:
    """The replies of each category, categories in alphabetical order."""
    return {name: [r for r in replies if r.category == name] for name in sorted({r.category for r in replies})}


def in_words(rows: Iterable[ConfusionRow]) -> str:
    """The matrix in one line: ``of 60 tool: 55 call, 4 answer, 1 malformed, 0 empty; of 72 direct: ...``."""
    parts = []
    for row in rows:
        counts = (f"{count} {decision}" for decision, count in zip(DECISIONS, row.counts, strict=True))
        parts.append(f"of {row.prompts} {row.label}: {', '.join(counts)}")
    return "; ".join(parts)
