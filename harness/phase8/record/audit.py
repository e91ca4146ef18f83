"""What a determinism audit of one variant found: where replies part, and the odds that a later run is held to."""

from typing import Literal, get_args

from phase8.core.values import Frozen

Way = Literal["again", "batch", "alone", "cold"]
WAYS: tuple[Way, ...] = get_args(Way)


class Parting(Frozen):
    """Where a reply written in another way first has another token than the one it is compared with.

    ``gap`` is how much likelier, in nats, the model finds its own token there than the other; None where that is no
    number. ``same_decision`` says whether both replies call, or both answer.
    """

    position: int
    gap: float | None
    same_decision: bool


class Odds(Frozen):
    """The distribution at one token in a few cells: the likeliest tokens, each by itself, and all others together.

    ``tokens`` are ids, likeliest first, ``log_p`` their ln p in nats, ``log_rest`` ln p of all others. No tokens: the
    logits there were no numbers.
    """

    tokens: tuple[int, ...]
    log_p: tuple[float, ...]
    log_rest: float


class AuditedPrompt(Frozen):
    """One prompt written in several ways.

    ``compared`` are the ways there were, ``parted`` those that gave other tokens. ``again``: twice in the same batch;
    ``batch``: beside the audit's prompts and beside all of the run's; ``alone``: one prompt at a time; ``cold``: by
    mlx-lm's own batch generator with nothing cached. ``odds`` are at the first tokens of the judged reply, for as long
    as the cold reply has the same ones.
    """

    suite: Literal["canonical", "held-out"]
    turn: Literal[1, 2] = 1
    case: str
    compared: tuple[Way, ...]
    parted: dict[Way, Parting] = {}
    odds: tuple[Odds, ...] = ()

    @property
    def stable(self) -> bool:
        """Whether every way was tried and all gave the same tokens."""
        return set(self.compared) == set(WAYS) and not self.parted

    @property
    def why(self) -> str:
        """Where it parts, for a person; empty for a stable prompt."""
        told = [f"{way} from token {one.position} ({_gap(one)})" for way, one in self.parted.items()]
        return ", ".join(told + [f"{way} not tried" for way in WAYS if way not in self.compared])


def _gap(one: Parting) -> str:
    return "a gap that is no number" if one.gap is None else f"{one.gap:.2g} nats"


class AuditRecord(Frozen):
    """The audit of one variant: its prompts, how many were written side by side, and the seconds it took."""

    prompts: tuple[AuditedPrompt, ...]
    side_by_side: int
    seconds: float

    def unstable(self) -> list[AuditedPrompt]:
        """The prompts that have no exact snapshot."""
        return [prompt for prompt in self.prompts if not prompt.stable]
