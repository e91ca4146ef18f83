"""Divides examples into train, valid and test with exact sizes, so that no topic is in two of them."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeVar

from harness.errors import InvalidInput
from harness.frozen import Frozen

Kind = Literal["tool", "direct"]
KINDS: tuple[Kind, ...] = ("tool", "direct")
NAMES = ("train", "valid", "test")


class Grouped(Protocol):
    """What can be split: something of a kind that belongs to a topic."""

    @property
    def kind(self) -> Kind:
        """Whether the right reply calls a tool."""

    @property
    def group(self) -> str:
        """The topic."""

    @property
    def preferred(self) -> bool:
        """Whether to take it before others."""


T = TypeVar("T", bound=Grouped)


class Quota(Frozen):
    """How many examples of each kind a split takes."""

    tool: int
    direct: int


def quotas(examples: int, tool_share: float) -> dict[str, Quota]:
    """The sizes of the splits: 80 % train, 10 % valid, rest test; 683 gives 546, 68 and 69."""
    sizes = [math.floor(0.8 * examples), math.floor(0.1 * examples)]
    tools = [round(size * tool_share) for size in sizes]
    sizes.append(examples - sum(sizes))
    tools.append(round(examples * tool_share) - sum(tools))
    return {name: Quota(tool=tool, direct=size - tool) for name, size, tool in zip(NAMES, sizes, tools, strict=True)}


def divide(examples: Sequence[T], wanted: dict[str, Quota], random_: random.Random) -> dict[str, list[T]]:
    """Fill every quota exactly, preferred topics first; examples that no quota has room for are left out.

    Raises:
        InvalidInput: too few examples.
    """
    room = {(name, kind): getattr(quota, kind) for name, quota in wanted.items() for kind in KINDS}
    splits: dict[str, list[T]] = {name: [] for name in wanted}
    for topic in _shuffled_topics(examples, random_):
        kinds = Counter(example.kind for example in topic)
        # The split that can take most of the topic; among equals the one that is emptiest.
        best = max(wanted, key=lambda name: _appeal(kinds, wanted[name], name, room))
        for example in topic:
            if room[best, example.kind]:
                room[best, example.kind] -= 1
                splits[best].append(example)
    if missing := {f"{kind} for {name}": left for (name, kind), left in room.items() if left}:
        short = ", ".join(f"{left} {what}" for what, left in missing.items())
        raise InvalidInput(f"corpus: too few topics to keep the splits apart: missing {short}. Add distributions.")
    for rows in splits.values():
        random_.shuffle(rows)
    return splits


def _appeal(kinds: Counter[Kind], quota: Quota, name: str, room: dict[tuple[str, Kind], int]) -> tuple[int, float]:
    taken = sum(min(count, room[name, kind]) for kind, count in kinds.items())
    left = sum(room[name, kind] for kind in kinds) / max(1, sum(getattr(quota, kind) for kind in kinds))
    return taken, left


def _shuffled_topics(examples: Iterable[T], random_: random.Random) -> list[list[T]]:
    topics: dict[str, list[T]] = {}
    for example in examples:
        topics.setdefault(example.group, []).append(example)
    shuffled = list(topics.values())
    random_.shuffle(shuffled)
    return sorted(shuffled, key=lambda topic: not any(example.preferred for example in topic))
