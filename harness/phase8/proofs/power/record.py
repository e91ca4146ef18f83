"""What the proof of power holds: one case a planted regression or identical pair, and all of them. Values only."""

from typing import Literal

from phase8.core.values import Frozen
from phase8.record.ab_blocks import QuantityVerdict

PlantOutcome = Literal["caught", "missed", "inconclusive"]
PairOutcome = Literal["fine", "regressed", "invalid", "inconclusive"]


class Expected(Frozen):
    """What must be said of a planted regression for it to count as caught.

    ``checks`` are the gate's, any of which will do, on ``subject``; ``about`` stands in the finding's text or names.
    ``refusal`` is what Phase 8 says where it refuses to run at all. ``may_be_inconclusive`` is for a regression close
    to the limit, whose named check may stay open.
    """

    checks: tuple[str, ...]
    subject: str
    about: str = ""
    refusal: str = ""
    may_be_inconclusive: bool = False


class Compared(Frozen):
    """What pytest-benchmark's own comparison says of a run: benchmarks it found in both, and why it fails."""

    compared: int
    failures: tuple[str, ...]


class PowerCase(Frozen):
    """One gate run. ``by`` holds the findings that decided its outcome, ``latency`` what was timed, ``blocks`` of it.

    ``key`` names the commit and settings that it was run with. ``benchmark`` is None where another case ran beside it:
    its timings mean nothing.
    """

    key: str
    name: str
    kind: Literal["plant", "pair"]
    what: str
    outcome: PlantOutcome | PairOutcome
    exit_code: int
    by: tuple[str, ...]
    latency: tuple[QuantityVerdict, ...]
    blocks: int
    dropped: int
    benchmark: Compared | None
    seconds: float
    finished: str


class PowerReport(Frozen):
    """``power.json``: every case of one commit on one machine."""

    schema_version: Literal[1] = 1
    commit: str
    date: str
    machine: str
    versions: dict[str, str]
    limit: float
    compare_fail: str
    cases: tuple[PowerCase, ...]
