"""The smallest safe width: what may be shipped. Pure: ladder, verdicts and profile in, one answer out.

Safe is a width where every gate that the profile sets for production holds, whatever the role of the variant, and at
every wider judged width too: more bits lose no more, so a gate that fails there says that the pass here is luck. Gates
on cost are asked of the width itself alone: a wider one is larger and slower by nature.
"""

from collections.abc import Mapping, Sequence

from phase8.gates.verdicts import CONTROL, GATES, as_production
from phase8.profile.profile import Profile
from phase8.profile.sections import EarlierThreshold
from phase8.record.ladder import SAFETY_WORST_FIRST, Answer, LadderRecord, RungRecord, Safety, WidthSafety
from phase8.record.run import Production, Verdict

EVIDENCE = ("integrity", "recovery", "canonical", "accuracy vs adapter")
COST = frozenset({"memory", "seconds a query", "decode ratio"})

_SAFETY: dict[Production, Safety] = {
    "pass": "safe",
    "fail": "not safe",
    "inconclusive": "not shown to be safe",
    "missing": "not measured",
}
_SAID: dict[Safety, str] = {
    "not safe": "fails",
    "not measured": "was not measured",
    "not shown to be safe": "is inconclusive",
}
_UNCOUNTED = {"info": "told, without a limit", "new": "no recorded calls to compare with"}
_WIDEST = 1000  # the fused floats, in an order by bits

Given = Mapping[str, Verdict]


def answer(ladder: LadderRecord, verdicts: Sequence[Verdict], profile: Profile) -> Answer:
    """The smallest width that may be shipped, with its margin and evidence, or what does not hold.

    A gate that the profile leaves out or only tells of does not count, one without a verdict is not measured. What is
    inconclusive is not shown to hold, and said apart from what fails.
    """
    given: dict[str, dict[str, Verdict]] = {}
    for verdict in verdicts:
        given.setdefault(verdict.variant, {})[verdict.gate] = verdict
    judged = [rung for rung in ladder.rungs if rung.kind == "fused" and rung.judged]
    widths = tuple(_width(rung, given.get(rung.variant, {})) for rung in sorted(judged, key=_bits))
    shippable = _shippable(widths)
    smallest = shippable[0] if shippable else None
    unjudged = sorted(set(profile.fuse.widths if profile.fuse else ()) - {width.bits for width in widths})
    notes = [*_why_not(widths, shippable), *_counted(widths, given)]
    notes += [f"Not judged in this run: {_named(unjudged)}."] if unjudged else []
    claim = earlier_claim(widths, profile.survival.earlier if profile.survival else None)
    notes += [claim] if claim else []
    return Answer(
        smallest=smallest.bits if smallest else None,
        line=_line(widths, smallest, unjudged),
        notes=tuple(notes),
        widths=widths,
    )


def _bits(rung: RungRecord | WidthSafety) -> int:
    return _WIDEST if rung.bits is None else rung.bits


def _width(rung: RungRecord, given: Given) -> WidthSafety:
    """One width by itself."""
    states = {gate: state for gate in _asked(given) if (state := _state(given.get(gate))) is not None}
    safety: Safety = next((one for one in SAFETY_WORST_FIRST if one in states.values()), "not measured")
    against = tuple(gate for gate, state in states.items() if state != "safe")
    return WidthSafety(
        variant=rung.variant,
        bits=rung.bits,
        safety=safety,
        evidence=_evidence(states, given) if safety == "safe" else _faults(against, states, given),
        counted=tuple(states),
        against=against,
    )


def _asked(given: Given) -> list[str]:
    """Every gate there is, then those of a user's own suites; a control's own gate is not one of a width."""
    return [*GATES, *(gate for gate in given if gate not in (*GATES, CONTROL))]


def _state(verdict: Verdict | None) -> Safety | None:
    """What a gate says of the width; None where it does not count."""
    if verdict is None:
        return "not measured"
    production = as_production(verdict)
    return _SAFETY[production] if production else None


def _evidence(states: Mapping[str, Safety], given: Given) -> str:
    """The figures that safety rests on, as far as the profile asks for them."""
    return "; ".join(f"{gate} {_figure(gate, given[gate])}" for gate in EVIDENCE if gate in states)


def _faults(against: Sequence[str], states: Mapping[str, Safety], given: Given) -> str:
    """Every gate that does not hold and its figure, failures first; those without a verdict together."""
    unjudged = [gate for gate in against if gate not in given]
    judged = sorted((g for g in against if g in given), key=lambda gate: SAFETY_WORST_FIRST.index(states[gate]))
    told = [f"{gate} {_SAID[states[gate]]} ({_figure(gate, given[gate])})" for gate in judged]
    told += [f"not judged in this run: {', '.join(unjudged)}"] if unjudged else []
    return "; ".join(told) or "no gate is asked of it"


def _shippable(widths: Sequence[WidthSafety]) -> list[WidthSafety]:
    """The safe widths below no wider one that speaks against them, the smallest first; the fused floats are none."""
    found: list[WidthSafety] = []
    for width in reversed(widths):
        if width.safety == "safe" and width.bits is not None:
            found.append(width)
        if _speaks_against_smaller(width):
            break
    return found[::-1]


def _speaks_against_smaller(width: WidthSafety) -> bool:
    return width.safety != "safe" and (not width.against or any(gate not in COST for gate in width.against))


def _blocking(widths: Sequence[WidthSafety]) -> WidthSafety | None:
    """The widest that is not safe, else the widest."""
    unsafe = [width for width in widths if width.safety != "safe"]
    return (unsafe or list(widths) or [None])[-1]


def _line(widths: Sequence[WidthSafety], smallest: WidthSafety | None, unjudged: Sequence[int]) -> str:
    """The answer in a sentence."""
    blocking = smallest or _blocking(widths)
    if blocking is None:
        return "No fused width was judged."
    wider = [bits for bits in unjudged if bits > _bits(blocking)]
    caveat = f" Wider ones were not judged: {_named(wider)}." if wider else ""
    if smallest:
        judged = " of those judged here" if wider else ""
        return f"Smallest safe width: {smallest.bits} bits{judged} ({smallest.evidence}).{caveat}"
    if blocking.safety == "safe":
        return f"No judged width is shown to be safe: {blocking.variant} is none.{caveat}"
    return f"No judged width is shown to be safe: at {_at(blocking)} {blocking.evidence}.{caveat}"


def _why_not(widths: Sequence[WidthSafety], shippable: Sequence[WidthSafety]) -> list[str]:
    """Each width that may not be shipped, the widest first, and why; the one that the answer names has said it."""
    notes, against = [], ""
    named = None if shippable else _blocking(widths)
    for width in reversed(widths):
        if width.safety != "safe" and width is not named:
            notes.append(f"{_at(width)}: {width.safety}: {width.evidence}.")
        elif width.safety == "safe" and width not in shippable and against:
            notes.append(f"{_at(width)}: every gate holds, but not at {against}, which is wider.")
        against = against or (_at(width) if _speaks_against_smaller(width) else "")
    return notes


def _counted(widths: Sequence[WidthSafety], given: Mapping[str, Given]) -> list[str]:
    """Which gates were asked of the widths, and which were not, with the reason."""
    if not widths:
        return []
    counted = dict.fromkeys(gate for width in widths for gate in width.counted)
    left_out = {}
    for width in widths:
        for gate, verdict in given.get(width.variant, {}).items():
            if gate not in counted and gate != CONTROL:
                left_out[gate] = _UNCOUNTED.get(verdict.status, verdict.detail or verdict.status)
    told = "; ".join(f"{gate} ({why})" for gate, why in left_out.items())
    return [f"Counted, each as for production: {', '.join(counted)}." + (f" Not counted: {told}." if told else "")]


def _figure(gate: str, verdict: Verdict) -> str:
    """What a gate measured against its limit; without a measurement, why there is none."""
    if verdict.measured is None:
        return verdict.detail or verdict.status
    hits = f"{round(verdict.measured * verdict.samples)} of {verdict.samples}"
    if gate == "integrity":
        return f"{hits} modules"
    if gate == "recovery":
        bound = f", lower bound {_percent(verdict.interval.low)}" if verdict.interval else ""
        floor = f", floor {_percent(verdict.limit)}" if verdict.limit is not None else ""
        return f"{_percent(verdict.measured)}{bound}{floor}"
    if gate == "canonical":
        return hits
    if verdict.paired:
        found = verdict.paired
        counts = f"{len(found.lost)} lost, {len(found.gained)} gained of {found.prompts} prompts"
        return f"{found.outcome}: {counts}, loss at most {_percent(found.bound)}"
    if verdict.unit == "share":
        return hits + (f", limit {_percent(verdict.limit)}" if verdict.limit is not None else "")
    limit = f", limit {verdict.limit:.4g} {verdict.unit}" if verdict.limit is not None else ""
    return f"{verdict.measured:.4g} {verdict.unit}{limit}"


def earlier_claim(widths: Sequence[WidthSafety], earlier: EarlierThreshold | None) -> str:
    """Whether an earlier threshold repeats: it does, it does not, or this run cannot say; empty where none is set."""
    if earlier is None:
        return ""
    found = {width.bits: width.safety for width in widths}
    failed, held = (found.get(bits, "not measured") for bits in (earlier.fails, earlier.holds))
    told = f"The threshold of {earlier.record} ({earlier.fails} bits fails, {earlier.holds} holds)"
    if failed == "not safe" and held == "safe":
        return f"{told} repeats here."
    if failed == "safe" or held == "not safe":
        return f"{told} does not repeat here."
    states = f"{earlier.fails} bits: {failed}; {earlier.holds} bits: {held}"
    return f"{told}: whether it repeats cannot be said here ({states})."


def _at(width: WidthSafety) -> str:
    return width.variant if width.bits is None else f"{width.bits} bits"


def _named(bits: Sequence[int]) -> str:
    *first, last = map(str, bits)
    return f"{', '.join(first)} and {last} bits" if first else f"{last} bits"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
