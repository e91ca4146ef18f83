"""The splits, and how many examples of each kind they take."""

import math
from typing import Literal

from phase8.core.values import Frozen

Kind = Literal["tool", "direct"]
KINDS: tuple[Kind, ...] = ("tool", "direct")
NAMES = ("train", "valid", "test")


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
