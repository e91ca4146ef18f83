"""How often the interval by topic holds the truth, by simulation: worlds whose true recovery is known. NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console

from phase8.core.lazy_imports import np
from phase8.stats.cluster_bootstrap import ratio
from phase8.stats.proportions import clopper_pearson

TRUE = 0.98  # the share of the gain that is left in every world
LEAST = 0.87  # held in less than this share of worlds, an interval is not what it says
WORLDS = 2000


class Setting(NamedTuple):
    """Held-out rows over so many topics, and the sigma of the log-normal losses of a topic and of a row in it."""

    rows: int
    topics: int
    skew: float


class Coverage(NamedTuple):
    """Of ``worlds`` simulated ones: ``held`` the truth, had the whole interval ``above`` it, or ``below`` it.

    An interval above the truth is the one that could call safe what is not.
    """

    worlds: int
    held: int
    above: int
    below: int


SETTINGS = tuple(Setting(rows, topics, skew) for rows, topics in ((69, 69), (69, 50), (69, 25)) for skew in (0.5, 1.0))
SETTINGS += tuple(Setting(24, topics, 0.5) for topics in (20, 10, 5, 4, 3, 2))


def world(rng: np.random.Generator, setting: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is left of the gain (N,), the gain (N,), and the topic (N,) of each row of one world.

    Gains are gamma, in nats a token, shared within a topic; losses are skewed and shared likewise; rows have 8 to 59
    tokens, each with noise of its own. The expected loss is 1 - ``TRUE`` of the expected gain.
    """
    rows, topics, skew = setting
    of = np.concatenate([np.arange(topics), rng.integers(0, topics, rows - topics)])
    tokens = rng.integers(8, 60, rows)
    gain = 1.5 * rng.gamma(4, 0.25, topics)[of] * rng.gamma(8, 1 / 8, rows) * tokens
    skewed = [rng.lognormal(-(skew**2) / 2, skew, count) for count in (topics, rows)]
    loss = (1 - TRUE) * 1.5 * skewed[0][of] * skewed[1] * tokens
    return gain - loss + 0.05 * rng.normal(0, 1, rows) * np.sqrt(tokens), gain, of


def worlds(setting: Setting, count: int, seed: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """So many worlds, the same in every call."""
    rng = np.random.default_rng(seed)
    return (world(rng, setting) for _ in range(count))


def coverage(setting: Setting, count: int = WORLDS) -> Coverage:
    """How the intervals of ``count`` worlds lie to the truth."""
    above = below = 0
    for tops, bottoms, of in worlds(setting, count):
        found = ratio(tops, bottoms, of).interval
        assert found is not None
        above, below = above + (found.low > TRUE), below + (found.high < TRUE)
    return Coverage(count, count - above - below, above, below)


def prove_interval(console: Console) -> int:
    """Print one line a setting; 1 where an interval surely holds the truth in less than ``LEAST`` of its worlds."""
    console.print(f"true recovery {TRUE:.0%}; 95 % intervals of {WORLDS:,} simulated worlds a line", highlight=False)
    short = []
    for setting in SETTINGS:
        found = coverage(setting)
        sure = clopper_pearson(found.held, found.worlds)
        console.print(
            f"{setting.rows} rows, {setting.topics:2} topics, skew {setting.skew:g}: held {found.held / WORLDS:.1%} "
            f"({sure.low * 100:.1f} to {sure.high * 100:.1f}), above the truth {found.above / WORLDS:.1%}, "
            f"below it {found.below / WORLDS:.1%}",
            highlight=False,
        )
        short += [setting] if sure.high < LEAST else []
    said = f"{len(short)} of {len(SETTINGS)} HOLD THE TRUTH TOO SELDOM" if short else f"all hold at least {LEAST:.0%}"
    console.print(f"interval: {said}", highlight=False)
    return 1 if short else 0
