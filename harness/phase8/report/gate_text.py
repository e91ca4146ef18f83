"""The gate's report as Markdown for a pull request and as lines for a terminal: worst news first, output harmless."""

import re
from collections.abc import Iterator

from phase8.core.safe_text import markdown_text as _text
from phase8.core.safe_text import visible
from phase8.regression.findings import OUTCOMES, Finding, Flip, GateReport, Origin

LIMIT = 65_000
_ROOM = 60_000  # what is left out is said in the rest
_FLIPS = 8
_SHOWN = 25
TITLES = {
    "fine": "Fine: nothing is worse than the accepted baseline",
    "regressed": "Regressed: worse than the accepted baseline, or missing",
    "invalid": "Invalid: this run cannot be judged",
    "inconclusive": "Inconclusive: a loss can neither be shown nor ruled out",
}


def gate_markdown(report: GateReport) -> str:
    """The report in under ``LIMIT`` characters; findings that do not fit are counted, and gate.json has them."""
    lines = [f"# {TITLES[report.outcome]}", "", *_origins(report), ""]
    counts = {name: sum(one.outcome == name for one in report.findings) for name in OUTCOMES}
    lines += ["; ".join(f"{count} {name}" for name, count in counts.items() if count) or "No findings.", ""]
    if not report.findings:
        lines += [f"- {_text(reason, 2000)}" for reason in report.reasons]
    blocks = ["\n".join(_finding(one)) for one in report.findings]
    used = len("\n".join(lines))
    for position, block in enumerate(blocks):
        used += len(block) + 1
        if used > _ROOM:
            lines.append(f"- … {len(blocks) - position:,} more findings; gate.json has all of them")
            break
        lines.append(block)
    return "\n".join(lines) + "\n"


def terminal_lines(report: GateReport) -> list[str]:
    """What a terminal shows: what is against the change in full, then what was timed, was not judged, and is fine."""
    against = [one for one in report.findings if one.outcome not in ("not judged", "fine")]
    timed = [one for one in report.findings if one.outcome == "fine" and one.check == "latency"]
    lines = [_line(one) for one in against[:_SHOWN]]
    if (rest := len(against) - _SHOWN) > 0:
        lines.append(f"... and {rest} more")
    lines += map(_line, timed)
    for title, (by, listed) in {"not judged": ("check", "subject"), "fine": ("subject", "check")}.items():
        groups: dict[str, list[str]] = {}
        for one in report.findings:
            if one.outcome == title and one not in timed:
                groups.setdefault(getattr(one, by), []).append(getattr(one, listed))
        lines += [f"{title}: {name}: {', '.join(dict.fromkeys(found))}" for name, found in groups.items()]
    return lines


def _line(one: Finding) -> str:
    free = "" if one.blocks or one.outcome == "fine" else " (does not block)"
    return f"{one.outcome}{free}: {one.subject}: {one.check}: {one.detail}"


def _origins(report: GateReport) -> Iterator[str]:
    for title, origin in (("run", report.run), ("baseline", report.baseline)):
        if origin:
            why = f"; accepted: {_text(report.accepted, 500)}" if title == "baseline" and report.accepted else ""
            yield f"- {title}: {_origin(origin)}{why}"


def _origin(origin: Origin) -> str:
    commit = _text(origin.commit or "no commit", 60)
    return f"lane {_text(origin.lane, 200)}, commit {commit}, started {_text(origin.started, 60)}"


def _finding(one: Finding) -> Iterator[str]:
    free = "" if one.blocks or one.outcome in ("fine", "not judged") else " (does not block)"
    yield f"- **{one.outcome}**{free} {_text(one.subject, 100)}: {_text(one.check, 100)}: {_text(one.detail, 1200)}"
    for flip in one.flips[:_FLIPS]:
        yield from _flip(flip)
    if (rest := len(one.flips) - _FLIPS) > 0:
        yield f"  - … {rest:,} more prompts; gate.json has all of them"
    if one.difference:
        yield from _fenced(one.difference)


def _flip(flip: Flip) -> Iterator[str]:
    query = f"{flip.suite}/{flip.case}, {flip.label} expected: {flip.query}"
    yield f"  - {flip.change}: {_text(query, 200)}"
    yield f"    - before: {_text(flip.before, 250) or 'an empty reply'}"
    yield f"    - now: {_text(flip.after, 250) or 'an empty reply'}"


def _fenced(difference: str) -> Iterator[str]:
    """A diff in a fence that nothing in it can close."""
    shown = visible(difference)[:4000]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    yield f"  {fence}diff"
    yield from (f"  {line}" for line in shown.splitlines())
    yield f"  {fence}"
