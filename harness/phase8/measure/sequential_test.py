"""Times baseline and change against each other: a first look at every variant, a second at what it did not decide."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

from phase8.core.errors import InvalidInput
from phase8.measure.ab_blocks import BlockRun, Measurable
from phase8.profile.limits import BlockWork
from phase8.profile.terms import Quantity
from phase8.record.ab_blocks import SIDES, Block, BlockedLatency, QuantityVerdict, Side
from phase8.stats.ab_blocks import LEAST, LOOK_LEVEL, LOOKS, Judged, Key, block_value, judge

_MORE = 2  # a look takes at most so many times its blocks, where the machine is disturbed

Pair = Mapping[Side, Measurable]
Say = Callable[[str], None]


def looks(pairs: Mapping[str, Pair], work: BlockWork, say: Say) -> list[BlockedLatency]:
    """The blocks and the verdicts on every variant; one whose process ends says why it has none."""
    blocks: dict[str, list[Block]] = {name: [] for name in pairs}
    why: dict[str, str] = {}
    verdicts: dict[Key, Judged] = {}
    for look in range(LOOKS):
        asked = {
            name: open_
            for name in pairs
            if name not in why and (open_ := _open(name, work.quantities, verdicts, blocks[name]))
        }
        for number, (name, quantities) in enumerate(asked.items()):
            say(f"look {look + 1} of at most {LOOKS}: {name}, {number + 1} of {len(asked)}, {work.blocks} blocks")
            before = tuple(blocks[name])
            try:
                blocks[name] += taken(partial(_one, name, pairs[name], quantities, work.seconds, before), work.blocks)
            except InvalidInput as error:
                why[name] = str(error)
        decided = {key: judged for key, judged in verdicts.items() if judged.outcome != "inconclusive"}
        verdicts = judge(_values(blocks, work.quantities, why, decided), work.limit, decided)
    return [_blocked(name, blocks[name], verdicts, work, why.get(name, "")) for name in pairs]


def taken(one: Callable[[Sequence[Block]], Block], count: int) -> list[Block]:
    """Blocks until ``count`` of them count, at most twice as many, and none more where so many were all disturbed.

    ``one`` takes the next, and is told of those before it.
    """
    found: list[Block] = []
    kept = 0
    while kept < count and len(found) < (_MORE * count if kept else count):
        found.append(one(found))
        kept += not found[-1].dropped
    return found


def _one(
    name: str,
    pair: Pair,
    quantities: Sequence[Quantity],
    seconds: float,
    before: Sequence[Block],
    found: Sequence[Block],
) -> Block:
    """The next block of a variant, in processes of its own."""
    earlier = (*before, *found)
    with BlockRun(name, pair, quantities, seconds, len(earlier)) as run:
        return run.block(max((block.counters.mhz or 0.0 for block in earlier), default=0.0))


def _open(
    name: str, quantities: Sequence[Quantity], verdicts: Mapping[Key, Judged], blocks: Sequence[Block]
) -> list[Quantity]:
    """What of a variant is to be timed: what is undecided, unless one quantity regressed or no block was quiet."""
    if blocks and all(block.dropped for block in blocks):
        return []
    outcomes = {quantity: verdicts[name, quantity].outcome for quantity in quantities if (name, quantity) in verdicts}
    if "regressed" in outcomes.values():
        return []
    return [quantity for quantity in quantities if outcomes.get(quantity) != "fine"]


def _values(
    blocks: Mapping[str, Sequence[Block]],
    quantities: Sequence[Quantity],
    why: Mapping[str, str],
    decided: Mapping[Key, Judged],
) -> dict[Key, list[float]]:
    """The values of the blocks that count, of every undecided quantity with enough of them."""
    found: dict[Key, list[float]] = {}
    for name, own in blocks.items():
        kept = [block for block in own if not block.dropped]
        for quantity in quantities:
            if name in why or (name, quantity) in decided:
                continue
            sides = [(block.baseline.get(quantity, ()), block.change.get(quantity, ())) for block in kept]
            values = [value for pair in sides if (value := block_value(*pair)) is not None]
            if len(values) >= LEAST:
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
    ended = bool(why)
    if len(found) < len(work.quantities):
        lacking = ", ".join(q for q in work.quantities if (name, q) not in verdicts)
        why = why or f"{len(kept)} of {len(blocks)} blocks count, {LEAST} are needed: no verdict on {lacking}"
    return BlockedLatency(
        variant=name, limit=work.limit, quantities=tuple(found), blocks=tuple(blocks), why=why, ended=ended
    )


def _verdict(quantity: Quantity, kept: Sequence[Block], judged: Judged, family: int) -> QuantityVerdict:
    """One verdict, with the medians of the blocks it was reached on."""
    timed = [block for block in kept if block.baseline.get(quantity)][: judged.blocks]
    baseline, change = (median(value for block in timed for value in getattr(block, side)[quantity]) for side in SIDES)
    return QuantityVerdict(
        quantity=quantity,
        baseline_s=baseline,
        change_s=change,
        ratio=judged.bounds.ratio,
        low=judged.bounds.low,
        high=judged.bounds.high,
        level=LOOK_LEVEL,
        blocks=judged.blocks,
        p=judged.bounds.p,
        adjusted_p=judged.adjusted_p,
        family=family,
        outcome=judged.outcome,
    )
