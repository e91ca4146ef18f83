"""The merge gate's report in a page: verdict and reasons, findings worst first, flipped prompts, diffs of calls."""

from typing import NamedTuple

from phase8.drawing.svg import Chart
from phase8.drawing.templating import html_template
from phase8.regression.findings import OUTCOMES, Finding, Flip, GateReport
from phase8.report.gate_text import TITLES
from phase8.report.plots.ab_blocks import blocks_plots

_REASONS, _NAMES, _FLIPS, _LINES = 6, 400, 200, 600
_KINDS = {"+": "added", "-": "removed", "@": "place"}


class Line(NamedTuple):
    """One line of a diff: added, removed, the place of a hunk, or the same in both."""

    kind: str
    text: str


class ShownFinding(NamedTuple):
    """A finding with as much of its evidence as a page can hold, and sentences about the rest.

    ``free`` says that it speaks against the run without blocking it, ``open`` that its evidence is unfolded.
    """

    finding: Finding
    free: bool
    open: bool
    names: tuple[str, ...]
    more_names: str
    flips: tuple[Flip, ...]
    more_flips: str
    difference: tuple[Line, ...]


class GateView(NamedTuple):
    """The outcome in a line, why, the findings (against the run worst first, not judged, fine), what was timed."""

    report: GateReport
    title: str
    reasons: tuple[str, ...]
    counts: str
    against: tuple[ShownFinding, ...]
    unjudged: tuple[ShownFinding, ...]
    fine: tuple[ShownFinding, ...]
    latency: tuple[Chart, ...]


def gate_view(report: GateReport) -> GateView:
    """What a page shows of the gate's report."""
    reasons = report.reasons[:_REASONS]
    if (rest := len(report.reasons) - _REASONS) > 0:
        reasons = (*reasons, f"… and {rest:,} more, all of them among the findings")
    counted = {name: sum(one.outcome == name for one in report.findings) for name in OUTCOMES}
    shown = tuple(_shown(one) for one in report.findings)
    return GateView(
        report=report,
        title=TITLES[report.outcome],
        reasons=reasons,
        counts="; ".join(f"{count} {name}" for name, count in counted.items() if count) or "No finding",
        against=tuple(one for one in shown if one.finding.outcome not in ("not judged", "fine")),
        unjudged=tuple(one for one in shown if one.finding.outcome == "not judged"),
        fine=tuple(one for one in shown if one.finding.outcome == "fine"),
        latency=tuple(blocks_plots(report.latency)),
    )


def gate_html(report: GateReport) -> str:
    """A page of the gate alone, for a run that could not be read."""
    return html_template("gate.html.j2").render(gate=gate_view(report))


def _shown(one: Finding) -> ShownFinding:
    names, flips = len(one.names) - _NAMES, len(one.flips) - _FLIPS
    return ShownFinding(
        finding=one,
        free=not one.blocks and one.outcome not in ("fine", "not judged"),
        open=one.blocks and one.outcome in ("regressed", "missing", "invalid"),
        names=one.names[:_NAMES],
        more_names=f" … and {names:,} more; gate.json has all of them" if names > 0 else "",
        flips=tuple(sorted(one.flips, key=lambda flip: flip.change != "lost")[:_FLIPS]),
        more_flips=f"… and {flips:,} more prompts; gate.json has all of them" if flips > 0 else "",
        difference=_difference(one.difference),
    )


def _difference(text: str) -> tuple[Line, ...]:
    lines = text.splitlines()
    head, body = lines[:2], lines[2:_LINES]  # a diff begins with the names of both sides
    found = [Line("place", line) for line in head] + [Line(_KINDS.get(line[:1], "same"), line) for line in body]
    if (rest := len(lines) - _LINES) > 0:
        found.append(Line("place", f"… and {rest:,} more lines; gate.json has all of them"))
    return tuple(found)
