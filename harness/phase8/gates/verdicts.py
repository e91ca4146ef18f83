"""What one verdict means: for its test, for a role, for the run; and verdicts in order, worst first. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from phase8.core.safe_text import one_line
from phase8.profile.terms import RESERVED, Role
from phase8.record.run import Production, Status, Verdict

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
CONTROL = "control"  # the gate of controls alone: they must fail
GOOD: frozenset[Status] = frozenset({"pass", "xpass", "new", "info", "not applicable"})
MEASURED: frozenset[Status] = frozenset({"pass", "fail", "xpass", "xfail", "inconclusive", "missing"})
BAD: frozenset[Status] = frozenset({"fail", "missing"})

_STATUS_ORDER: tuple[Status, ...] = ("fail", "missing", "inconclusive", "xfail", "xpass", "new")
_ROLE_ORDER: tuple[Role, ...] = ("production", "control", "candidate")
_AS_PRODUCTION: dict[Status, Production] = {
    "pass": "pass",
    "xpass": "pass",
    "fail": "fail",
    "xfail": "fail",
    "inconclusive": "inconclusive",
    "missing": "missing",
}


def is_good(verdict: Verdict) -> bool:
    """Whether a verdict lets its test pass. An xfail does not: pytest turns it into an expected failure."""
    return verdict.status in GOOD


def is_failure(verdict: Verdict) -> bool:
    """Whether this verdict alone makes the run fail: a missing measurement does, and a control that passed."""
    return verdict.status in BAD or (verdict.role == "control" and verdict.status == "xpass")


def is_undecided(verdict: Verdict) -> bool:
    """Whether a verdict that could have failed the run stayed inconclusive; a candidate's could not."""
    return verdict.status == "inconclusive" and verdict.role != "candidate"


def holds_up(verdict: Verdict) -> bool:
    """Whether an undecided verdict keeps the run from passing; the profile may let some gates stay open."""
    return is_undecided(verdict) and verdict.blocks


def judges(verdicts: Iterable[Verdict]) -> bool:
    """Whether anything was judged: the synthetic controls are in every run, whatever became of its models."""
    return any(verdict.status in MEASURED and verdict.variant not in RESERVED for verdict in verdicts)


def as_production(verdict: Verdict) -> Production | None:
    """What a verdict would be for a production variant; None where the profile sets no such gate.

    Of a run that does not say so itself the status tells, except for a control, whose statuses are informational.
    """
    return verdict.as_production or _AS_PRODUCTION.get(verdict.status)


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


def status_of(role: Role, production: Production) -> Status:
    """What a gate's outcome means for a role: only production can fail here, and of a control it is told alone."""
    if role == "control":
        return "info"
    if role == "candidate":
        candidate: dict[Production, Status] = {"pass": "xpass", "fail": "xfail"}
        return candidate.get(production, production)
    return production


def decided(good: bool) -> Production:
    """The outcome of a gate without chance: its limit holds, or it does not."""
    return "pass" if good else "fail"


def missing(variant: str, role: Role, gate: str, why: str) -> Verdict:
    """The verdict on what should have been measured and was not: never a pass."""
    return Verdict(variant=variant, role=role, gate=gate, status="missing", detail=why, as_production="missing")


def not_applicable(variant: str, role: Role, gate: str, why: str, *, set_for_production: bool = False) -> Verdict:
    """The verdict on a gate that is not asked here; it is printed by name.

    ``set_for_production`` says that the profile does set it, and only this run or this role leaves it out: whoever
    wants to ship the variant has not measured it.
    """
    production: Production | None = "missing" if set_for_production else None
    return Verdict(variant=variant, role=role, gate=gate, status="not applicable", detail=why, as_production=production)


def worst_first(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """By status, then role, then how far the value is from its limit; unknown distances come first."""

    def key(verdict: Verdict) -> tuple[int, int, float]:
        status = _STATUS_ORDER.index(verdict.status) if verdict.status in _STATUS_ORDER else len(_STATUS_ORDER)
        return 0 if is_failure(verdict) else 1 + status, _ROLE_ORDER.index(verdict.role), -_distance(verdict)

    return sorted(verdicts, key=key)


def _distance(verdict: Verdict) -> float:
    if verdict.measured is None or verdict.limit is None:
        return inf
    return abs(verdict.measured - verdict.limit) / (abs(verdict.limit) or 1)
