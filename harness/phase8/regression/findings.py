"""What the merge gate found: one finding a check and variant, and the file they are written to. Values only."""

from typing import Literal

from phase8.core.values import Frozen
from phase8.record.ab_blocks import BlockedLatency
from phase8.record.run import Label, PairedLoss, Suite

SCHEMA_VERSION = 1

Outcome = Literal["invalid", "missing", "regressed", "inconclusive", "not judged", "fine"]
OUTCOMES: tuple[Outcome, ...] = ("invalid", "missing", "regressed", "inconclusive", "not judged", "fine")

_NAMES = ("fine", "regressed", "invalid", "inconclusive")
_BAD: dict[int, set[Outcome]] = {2: {"invalid"}, 1: {"missing", "regressed"}, 3: {"inconclusive"}}


class Flip(Frozen):
    """One prompt whose reply changed; ``change`` says whether it was right before, and is now."""

    case: str
    suite: Suite
    turn: Literal[1, 2]
    label: Label
    query: str
    before: str
    after: str
    change: Literal["lost", "gained", "same decision"]


class Finding(Frozen):
    """One check of one subject: a variant, a gate of one, or the run itself.

    ``names`` are the prompts, metrics or files behind it. A finding that does not ``block`` is told of and cannot
    fail the gate: a candidate's, or one that the profile lets pass.
    """

    check: str
    subject: str
    outcome: Outcome
    detail: str
    blocks: bool = True
    baseline: float | None = None
    measured: float | None = None
    limit: float | None = None
    unit: str = ""
    names: tuple[str, ...] = ()
    flips: tuple[Flip, ...] = ()
    paired: PairedLoss | None = None
    difference: str = ""


class Origin(Frozen):
    """Which run this is."""

    lane: str
    profile: str
    started: str
    commit: str | None


class GateReport(Frozen):
    """``gate.json``: the outcome, its reasons, every finding, worst first, and the blocks that were timed."""

    schema_version: Literal[1] = SCHEMA_VERSION
    exit_code: Literal[0, 1, 2, 3]
    outcome: Literal["fine", "regressed", "invalid", "inconclusive"]
    reasons: tuple[str, ...]
    run: Origin | None
    baseline: Origin | None
    accepted: str
    findings: tuple[Finding, ...]
    latency: tuple[BlockedLatency, ...] = ()


def _worst_first(one: Finding) -> tuple[bool, bool, int]:
    """What fails the gate, what would if it blocked, what was not judged, what is fine."""
    speaks_against = any(one.outcome in outcomes for outcomes in _BAD.values())
    return not speaks_against, speaks_against and not one.blocks, OUTCOMES.index(one.outcome)


def gate_report(
    findings: list[Finding],
    run: Origin | None = None,
    baseline: Origin | None = None,
    accepted: str = "",
    latency: tuple[BlockedLatency, ...] = (),
) -> GateReport:
    """The report on findings: 2 where anything is invalid or nothing was judged, 1 where anything is worse or gone."""
    blocking = [finding for finding in findings if finding.blocks]
    judged = any(finding.outcome == "fine" for finding in blocking)  # what cannot fail proves nothing
    by_code = {code: [one for one in blocking if one.outcome in outcomes] for code, outcomes in _BAD.items()}
    code = next((code for code, found in by_code.items() if found), 0 if judged else 2)
    reasons = tuple(f"{one.subject}: {one.check}: {one.detail}" for one in by_code.get(code, ()))
    ordered = sorted(findings, key=_worst_first)
    return GateReport.model_validate(
        {
            "exit_code": code,
            "outcome": _NAMES[code],
            "reasons": reasons if judged or reasons else ("nothing was judged",),
            "run": run,
            "baseline": baseline,
            "accepted": accepted,
            "findings": tuple(ordered),
            "latency": latency,
        }
    )
