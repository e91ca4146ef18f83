"""The determinism audits of a run as rows for a person. Pure."""

from typing import NamedTuple

from phase8.record.run import RunRecord

ABOUT = (
    "Replies to some prompts are written again: twice in one batch, beside fewer prompts, alone, and by mlx-lm's own "
    "batch generator with nothing cached. A prompt whose tokens are always the same is stable; the others have no "
    "exact snapshot."
)


class Unstable(NamedTuple):
    """A prompt whose tokens are not always the same, and where each way parts."""

    prompt: str
    why: str


class AuditRow(NamedTuple):
    """The audit of one variant: prompts, how many are stable, the others, tokens whose odds are kept, seconds."""

    variant: str
    prompts: int
    stable: int
    unstable: tuple[Unstable, ...]
    odds: int
    seconds: float


def audit_rows(record: RunRecord) -> list[AuditRow]:
    """One row a variant that was audited, in the order of the run."""
    return [
        AuditRow(
            variant=variant.name,
            prompts=len(audit.prompts),
            stable=len(audit.prompts) - len(audit.unstable()),
            unstable=tuple(Unstable(f"{one.suite}/{one.case}", one.why) for one in audit.unstable()),
            odds=sum(len(prompt.odds) for prompt in audit.prompts),
            seconds=audit.seconds,
        )
        for variant in record.variants
        if (audit := variant.audit)
    ]
