"""One variant in the baseline and in a run: what every check of the merge gate looks at. Pure."""

from phase8.core.values import Frozen
from phase8.record.run import Reply, VariantRecord
from phase8.regression.completeness import key, same_prompt
from phase8.regression.findings import Finding, Flip, Outcome


class Both(Frozen):
    """One variant in the baseline and in the run."""

    before: VariantRecord
    after: VariantRecord

    @property
    def name(self) -> str:
        """The variant."""
        return self.after.name

    @property
    def blocks(self) -> bool:
        """Whether a loss of quality can fail the gate: a production variant's can."""
        return "production" in (self.before.role, self.after.role)

    @property
    def same_weights(self) -> bool:
        """Whether both ran the same files, or files made from the same by the same code."""
        same_files = self.before.content != "" and self.before.content == self.after.content
        return same_files or self.before.artefact == self.after.artefact

    def pairs(self) -> list[tuple[Reply, Reply]]:
        """The replies of both to every case, whatever its prompt now is."""
        theirs = {key(reply): reply for reply in self.before.replies}
        return [(theirs[key(reply)], reply) for reply in self.after.replies if key(reply) in theirs]

    def same_prompts(self) -> list[tuple[Reply, Reply]]:
        """The replies of both to every prompt that is still the same."""
        return [pair for pair in self.pairs() if same_prompt(*pair)]


def finding(check: str, both: Both, outcome: Outcome, detail: str, blocks: bool | None = None) -> Finding:
    """A finding on a variant, which can fail the gate where the variant can, unless told otherwise."""
    return Finding(
        check=check,
        subject=both.name,
        outcome=outcome,
        detail=detail,
        blocks=both.blocks if blocks is None else blocks,
    )


def flip(old: Reply, new: Reply) -> Flip:
    """A prompt whose reply changed."""
    return Flip(
        case=new.case,
        suite=new.suite,
        turn=new.turn,
        label=new.label,
        query=new.query,
        before=old.text,
        after=new.text,
        change="same decision" if old.correct == new.correct else "gained" if new.correct else "lost",
    )
