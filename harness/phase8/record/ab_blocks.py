"""What blocks of A B B A measured: the baseline's side and the change's in turn, in one job. Values only."""

from typing import Literal

from pydantic import Field

from phase8.core.values import Frozen
from phase8.profile.terms import Quantity

Side = Literal["baseline", "change"]
ORDER: tuple[Side, ...] = ("baseline", "change", "change", "baseline")
SIDES: tuple[Side, ...] = ("baseline", "change")

# What is judged of a visit, all in seconds: the longer, the slower.
WHAT: dict[Quantity, str] = {
    "load_s": "load the weights",
    "ttft_cold_s": "first canonical query, nothing cached, to the first token",
    "ttft_warm_s": "a canonical query, system prompt cached, to the first token",
    "query_s": "a canonical query end to end, system prompt cached",
    "prefill_s": "fixed work, seconds to its first token",
    "token_s": "fixed work, seconds between decoded tokens",
}


class Counters(Frozen):
    """What the machine's own counters say of a block, without a look at its timings; None where it has no such counter.

    ``others`` and ``steal`` are shares of all cores' time: of other processes, and of other guests of the host.
    """

    others: float
    steal: float | None
    mhz: float | None
    celsius: float | None
    on_mains: bool | None


class Block(Frozen):
    """One block: each side's values by quantity, in seconds, and why it was dropped, if it was.

    The sides' values stand beside each other in time, and every second pair was measured in the other order, so that
    two pairs are one A B B A.
    """

    baseline: dict[str, tuple[float, ...]]
    change: dict[str, tuple[float, ...]]
    counters: Counters
    dropped: str = ""


class QuantityVerdict(Frozen):
    """One quantity of one variant: the change's median over the baseline's, in seconds, with one-sided bounds.

    ``low`` and ``high`` each hold with the confidence of one look, ``level`` being its error; ``p`` is that of a
    ratio within the limit, ``adjusted_p`` the same after Holm over all quantities and variants of the run.
    """

    quantity: Quantity
    baseline_s: float
    change_s: float
    ratio: float
    low: float
    high: float
    level: float
    blocks: int
    p: float
    adjusted_p: float
    family: int
    outcome: Literal["regressed", "fine", "inconclusive"]


class BlockedLatency(Frozen):
    """One variant's blocks and their verdicts; ``why`` says why some have none, ``ended`` that a process died."""

    variant: str
    limit: float = Field(gt=1)
    quantities: tuple[QuantityVerdict, ...]
    blocks: tuple[Block, ...]
    why: str = ""
    ended: bool = False
