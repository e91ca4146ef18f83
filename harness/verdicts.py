"""What verdicts mean: for a test, for a role, and together for the exit code of a run. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from harness.profile import RESERVED, Role
from harness.record import Status, Verdict
from harness.visible import one_line

GATES = (
    "canonical",
    "held-out",
    "probes",
    "accuracy vs adapter",
    "integrity",
    "recovery",
    "over-calls",
    "under-calls",
    "second turn",
    "termination",
    "kernel agreement",
    "determinism",
    "seconds a query",
    "decode ratio",
    "memory",
    "tool calls",
)
GOOD: frozenset[Status] = frozenset({"pass", "xpass", "new", "info", "not applicable"})
MEASURED: frozenset[Status] = frozenset({"pass", "fail", "xpass", "xfail", "inconclusive", "missing"})
BAD: frozenset[Status] = frozenset({"fail", "missing"})


def holds_up(verdict: Verdict) -> bool:
    """Whether an undecided verdict keeps the run from passing."""
    return verdict.status == "inconclusive" and verdict.role != "candidate" and verdict.blocks


def is_good(verdict: Verdict) -> bool:
    """Whether a verdict lets its test pass. An xfail does not: pytest turns it into an expected failure."""
    return verdict.status in GOOD


def outcome(verdicts: Sequence[Verdict]) -> tuple[Literal[0, 1, 3], tuple[str, ...]]:
    """The exit code of a run and the reasons for it: 0 fine, 1 failed or nothing judged, 3 inconclusive.

    A candidate cannot fail a run, so one that is inconclusive does not hold it up either, and neither does a gate
    that the profile leaves out of ``budgets.inconclusive_blocks``.
    """
    if not any(v.status in MEASURED and v.variant not in RESERVED for v in verdicts):
        return 1, ("nothing was judged",)
    bad = tuple(f"{v.variant}: {v.gate}: {v.status}: {v.detail}" for v in verdicts if v.status in BAD)
    if bad:
        return 1, bad
    open_ones = [verdict for verdict in verdicts if holds_up(verdict)]
    unsure = tuple(f"{v.variant}: {v.gate}: {v.detail}" for v in open_ones)
    return (3, unsure) if unsure else (0, ())


def absent(
    expected: Sequence[tuple[str, Role, str]],
    verdicts: Sequence[Verdict],
    errors: Mapping[tuple[str, str], str] | None = None,
) -> list[Verdict]:
    """A ``missing`` verdict for every (variant, role, gate) that should have been judged and was not.

    ``errors`` has what the test ended with, by variant and gate.
    """
    found = {(verdict.variant, verdict.gate) for verdict in verdicts}
    ends = {key: f": {one_line(error, 300)}" for key, error in (errors or {}).items()}
    return [
        missing(variant, role, gate, f"no verdict: its test did not get that far{ends.get((variant, gate), '')}")
        for variant, role, gate in expected
        if (variant, gate) not in found
    ]


def status_of(role: Role, good: bool) -> Status:
    """What a gate's outcome means for a role: only production can fail here."""
    if role == "control":
        return "info"
    if role == "candidate":
        return "xpass" if good else "xfail"
    return "pass" if good else "fail"


def missing(variant: str, role: Role, gate: str, why: str) -> Verdict:
    """The verdict on what should have been measured and was not: never a pass."""
    return Verdict(variant=variant, role=role, gate=gate, status="missing", detail=why)


def not_applicable(variant: str, role: Role, gate: str, why: str) -> Verdict:
    """The verdict on a gate whose inputs the profile leaves out; it is printed by name."""
    return Verdict(variant=variant, role=role, gate=gate, status="not applicable", detail=why)
