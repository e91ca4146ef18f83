"""What is measured of one variant: the work that its process is asked to do, step by step. Values only."""

from collections.abc import Iterator
from pathlib import Path

from phase8.cases.cases import Case
from phase8.chat.formats import Tools
from phase8.core.values import Frozen
from phase8.profile.limits import Audit, LatencyWork
from phase8.profile.sections import Prompting
from phase8.record.run import Reply


class Work(Frozen):
    """One variant to measure.

    ``cases`` are the canonical queries, ``judged`` the replies to them that discrimination was judged on; where the
    shipped kernels write other tokens, it is said where and by how much.
    """

    folder: Path
    adapter: Path | None
    cases: tuple[Case, ...]
    prompting: Prompting
    tools: Tools
    latency: LatencyWork
    judged: tuple[Reply, ...] = ()

    def steps(self) -> Iterator[str]:
        """The steps in their order. Memory is read when all timed work is done."""
        yield from ("load", "cold")
        yield from (f"query {number}" for number in range(len(self.cases)))
        yield from ("fixed",) * self.latency.rounds
        yield from ("memory", "agreement")


class AuditWork(Frozen):
    """One variant to audit: the prompts that are written in several ways, and the judged replies to them, in order.

    ``timed`` says which of the prompts the shipped kernels answer alone when they are timed; these are not written
    alone once more.
    """

    folder: Path
    adapter: Path | None
    cases: tuple[Case, ...]
    judged: tuple[Reply, ...]
    timed: frozenset[str]
    prompting: Prompting
    tools: Tools
    audit: Audit
