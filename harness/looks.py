"""Times baseline and change against each other: a first look at every variant, a second at what it did not decide."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Protocol

from harness.block_record import SIDES, Block, BlockedLatency, QuantityVerdict, Side
from harness.block_stats import LEAST, LOOK_LEVEL, LOOKS, Judged, Key, Outcome, block_value, judge
from harness.blocks_run import BlockRun, Measurable
from harness.errors import InvalidInput
from harness.profile import BlockWork, Quantity

_MORE = 2  # a look takes at most so many times its blocks, where the machine is disturbed

Pair = Mapping[Side, Measurable]
Say = Callable[[str], None]


class Opened(Protocol):
    """Both sides of one variant, ready for blocks."""

    def block(self) -> Block:
        """The next block."""
        ...


def looks(pairs: Mapping[str, Pair], work: BlockWork, say: Say) -> list[BlockedLatency]:
    """The blocks and the verdicts on every variant; one whose process ends says why it has none."""
    blocks: dict[str, list[Block]] = {name: [] for name in pairs}
    why: dict[str, str] = {}
    verdicts: dict[Key, Judged] = {}
    for look in range(LOOKS):
        asked = [name for name in pairs if name not in why and (not look or _open(name, verdicts, blocks[name]))]
        for number, name in enumerate(asked):
            say(f"look {look + 1} of at most {LOOKS}: {name}, {number + 1} of {len(asked)}, {work.blocks} blocks")
            try:
                with BlockRun(name, pairs[name], work.quantities, work.seconds) as run:
                    blocks[name] += taken(run, work.blocks)
            except InvalidInput as error:
                why[name] = str(error)
        decided: dict[Key, Outcome] = {k: v.outcome for k, v in verdicts.items() if v.outcome != "inconclusive"}
        verdicts = judge(_values(blocks, work.quantities, why), work.limit, decided)
    return [_blocked(name, blocks[name], verdicts, work, why.get(name, "")) for name in pairs]


def taken(run: Opened, count: int) -> list[Block]:
    """Blocks until ``count`` of them count, at most twice as many, and none more where so many were all disturbed."""
    found: list[Block] = []
    kept = 0
    while kept < count and len(found) < (_MORE * count if kept else count):
        found.append(run.block())
        kept += not found[-1].dropped
    return found


def _open(name: str, verdicts: Mapping[Key, Judged], blocks: Sequence[Block]) -> bool:
    """Whether a variant is worth a second look: undecided, on a machine that gave at least one quiet block."""
    if all(block.dropped for block in blocks):
        return False
    own = {judged.outcome for (variant, _), judged in verdicts.items() if variant == name}
    return "regressed" not in own and own != {"fine"}


def _values(
    blocks: Mapping[str, Sequence[Block]], quantities: Sequence[Quantity], why: Mapping[str, str]
) -> dict[Key, list[float]]:
    """The values of the blocks that count, of every quantity with enough of them."""
    found: dict[Key, list[float]] = {}
    for name, own in blocks.items():
        for quantity in quantities:
            sides = [[block.baseline[quantity], block.change[quantity]] for block in own if not block.dropped]
            values = [value for pair in sides if (value := block_value(*pair)) is not None]
            if name not in why and len(values) >= LEAST:
                found[name, quantity] = values
    return found


def _blocked(
    name: str, blocks: Sequence[Block], verdicts: Mapping[Key, Judged], work: BlockWork, why: str
) -> BlockedLatency:
    kept = [block for block in blocks if not block.dropped]
    found = [
        _verdict(quantity, kept, verdicts[name, quantity], len(verdicts))
        for quantity in work.quantities
        if (name, quantity) in verdicts
    ]
    if len(found) < len(work.quantities):
        lacking = ", ".join(q for q in work.quantities if (name, q) not in verdicts)
        why = why or f"{len(kept)} of {len(blocks)} blocks count, {LEAST} are needed: no verdict on {lacking}"
    return BlockedLatency(
        variant=name, limit=work.limit, quantities=() if why else tuple(found), blocks=tuple(blocks), why=why
    )


def _verdict(quantity: Quantity, kept: Sequence[Block], judged: Judged, family: int) -> QuantityVerdict:
    baseline, change = (median(value for block in kept for value in getattr(block, side)[quantity]) for side in SIDES)
    return QuantityVerdict(
        quantity=quantity,
        baseline_s=baseline,
        change_s=change,
        ratio=judged.bounds.ratio,
        low=judged.bounds.low,
        high=judged.bounds.high,
        level=LOOK_LEVEL,
        blocks=len(kept),
        p=judged.bounds.p,
        adjusted_p=judged.adjusted_p,
        family=family,
        outcome=judged.outcome,
    )
