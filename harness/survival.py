"""The smallest safe width: integrity, recovery and behaviour, all three. Pure: verdicts in, one answer out."""

from collections.abc import Sequence

from harness.ladder_record import Answer, LadderRecord, RungRecord, Safety, WidthSafety
from harness.record import Verdict

GATES = ("integrity", "recovery", "canonical", "accuracy vs adapter")
_SEED = (4, 5)  # of the Phase 8 record: 4 bits fail, 5 hold


def answer(ladder: LadderRecord, verdicts: Sequence[Verdict]) -> Answer:
    """Which judged widths are safe, and the smallest of them with its margin and evidence.

    Safe is: every code is right, the lower bound of recovery is at least the floor, the canonical queries get what
    they need, and no loss against the live adapter can be more than is allowed. What could not be decided is not
    safe, and said apart. A width is judged for itself: that a smaller one is safe says nothing for a wider one.
    """
    given = {(v.variant, v.gate): v for v in verdicts}
    judged = [r for r in ladder.rungs if r.kind == "fused" and r.judged and r.bits is not None]
    widths = tuple(_width(rung, given) for rung in sorted(judged, key=lambda rung: rung.bits or 0))
    safe = [width for width in widths if width.safety == "safe"]
    smallest = safe[0] if safe else None
    others = [width for width in widths if width.safety != "safe"]
    if smallest:
        line = f"Smallest safe width: {smallest.bits} bits ({smallest.evidence})."
    else:
        line = "No judged width is shown to be safe." if widths else "No fused width was judged."
    below = [w for w in others if smallest is None or w.bits < smallest.bits]
    above = [w for w in others if smallest and w.bits > smallest.bits]
    notes = [f"{w.bits} bits: {w.safety}: {w.evidence}." for w in reversed(below)]
    notes += [f"Wider, and yet: {w.bits} bits: {w.safety}: {w.evidence}." for w in above]
    notes += [seed] if (seed := _seed_claim(widths)) else []
    return Answer(smallest=smallest.bits if smallest else None, line=line, notes=tuple(notes), widths=widths)


def _width(rung: RungRecord, given: dict[tuple[str, str], Verdict]) -> WidthSafety:
    verdicts = [(gate, given.get((rung.variant, gate))) for gate in GATES]
    states = {gate: _state(verdict) for gate, verdict in verdicts}
    order: tuple[Safety, ...] = ("not safe", "not measured", "not shown to be safe")
    safety: Safety = next((state for state in order if state in states.values()), "safe")
    told = [_told(gate, verdict) for gate, verdict in verdicts if safety == "safe" or states[gate] == safety]
    assert rung.bits is not None
    return WidthSafety(variant=rung.variant, bits=rung.bits, safety=safety, evidence="; ".join(told))


def _state(verdict: Verdict | None) -> Safety:
    if verdict is None or verdict.status in ("missing", "not applicable", "info", "new"):
        return "not measured"
    if verdict.status == "inconclusive":
        return "not shown to be safe"
    return "safe" if verdict.status in ("pass", "xpass") else "not safe"


def _told(gate: str, verdict: Verdict | None) -> str:
    if verdict is None or verdict.measured is None:
        return f"{gate} {'not judged' if verdict is None else verdict.detail or verdict.status}"
    if gate == "integrity":
        return f"integrity {round(verdict.measured * verdict.samples)} of {verdict.samples} modules"
    if gate == "recovery":
        bound = f", lower bound {_percent(verdict.interval.low)}" if verdict.interval else ""
        floor = f", floor {_percent(verdict.limit)}" if verdict.limit is not None else ""
        return f"recovery {_percent(verdict.measured)}{bound}{floor}"
    if gate == "canonical":
        return f"canonical {round(verdict.measured * verdict.samples)} of {verdict.samples}"
    if verdict.paired:
        found = verdict.paired
        counts = f"{len(found.lost)} lost, {len(found.gained)} gained of {found.prompts} prompts"
        return f"accuracy vs adapter {found.outcome}: {counts}, loss at most {_percent(found.bound)}"
    return f"{gate} {verdict.status}"


def _seed_claim(widths: Sequence[WidthSafety]) -> str:
    """Whether the Phase 8 record's threshold repeats; empty where not both of its widths were judged."""
    found = {width.bits: width.safety for width in widths}
    if any(bits not in found for bits in _SEED):
        return ""
    repeats = found[_SEED[0]] == "not safe" and found[_SEED[1]] == "safe"
    return f"The Phase 8 record's threshold (4 bits fails, 5 holds) {'repeats' if repeats else 'does not repeat'} here."


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
