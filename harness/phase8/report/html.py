"""The run as one self-contained HTML page. Model output is hostile: every value is escaped and made visible.

The page's own script filters what is shown. The content security policy names it by its hash, so that no other script
could run even if one got in, and allows no request.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from phase8.drawing.templating import TEMPLATES, html_template
from phase8.gates.outcome import outcome
from phase8.gates.verdicts import is_failure, worst_first
from phase8.history.lanes import LaneRuns
from phase8.record.run import Reply, RunRecord, VariantRecord, Verdict
from phase8.regression.findings import GateReport
from phase8.report import audit as audit_rows
from phase8.report import columns as cells
from phase8.report import ladder_columns as ladder_cells
from phase8.report.breakdown import DECISIONS, breakdowns
from phase8.report.charts import charts, training_chart
from phase8.report.gate_section import GateView, gate_view
from phase8.report.history import change_number, course
from phase8.report.plots.heatmap import heatmaps
from phase8.report.plots.latency import latency_plots
from phase8.report.plots.size import size_chart
from phase8.report.rows import rows

LEAST_EARLIER = 2  # runs of a lane, without which a history is no history


class MatrixRow(NamedTuple):
    """The verdicts on one variant, one tuple for each gate of the matrix."""

    variant: str
    cells: tuple[tuple[Verdict, ...], ...]


class VariantReplies(NamedTuple):
    """The replies of one variant, wrong ones first."""

    variant: VariantRecord
    replies: tuple[Reply, ...]
    wrong: int


class Sampled(NamedTuple):
    """One set of samples of one variant."""

    variant: str
    name: str
    what: str
    unit: str
    count: int
    low: float
    middle: float
    high: float


class Facet(NamedTuple):
    """One filter: the name of its attribute, its label, what stands for all values, and the values there are."""

    name: str
    title: str
    every: str
    values: tuple[str, ...]


def html(record: RunRecord, lane: LaneRuns | None = None, gate: GateReport | None = None) -> str:
    """The page: verdict first, then gates, measures, charts, history, training, replies, environment, hashes.

    Args:
        record: the run.
        lane: the runs of its lane up to this one, for the history.
        gate: what the merge gate said of the run; it comes before everything else.
    """
    found, view = rows(record), gate_view(gate) if gate else None
    names, script = [row.variant for row in found], (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return html_template("report.html.j2").render(
        record=record,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        gate=view,
        parts=_parts(record, view),
        facets=_facets(record, view, names),
        outcome=outcome(record),
        rows=found,
        columns=cells.COLUMNS,
        against_limit=cells.against_limit,
        measured=cells.measured,
        size=cells.size,
        number=cells.number,
        label=_label,
        is_failure=is_failure,
        gates=_gates(record.verdicts),
        matrix=_matrix(record, names),
        charts=charts(found),
        loss=training_chart(record.training) if record.training else None,
        samples=_samples(record.variants),
        latency=latency_plots(record.variants, names),
        replies=[_replies(variant) for variant in record.variants],
        calls=_calls,
        breakdowns=breakdowns(record),
        decisions=DECISIONS,
        audits=audit_rows.audit_rows(record),
        about_audit=audit_rows.ABOUT,
        proportion=cells.proportion,
        ladder=record.survival,
        answer=record.survival.answer if record.survival else None,
        ladder_columns=ladder_cells.LADDER,
        about_ladder=ladder_cells.about,
        size_chart=size_chart(record.survival) if record.survival else None,
        recipes=ladder_cells.recipes(record.survival) if record.survival else (),
        recipe_titles=ladder_cells.RECIPE_TITLES,
        heatmaps=heatmaps(record.survival.diagnoses) if record.survival else [],
        lane=lane,
        course=course(lane.runs) if lane and lane.earlier >= LEAST_EARLIER else None,
        change_number=change_number,
        no_history=_no_history(lane),
    )


def _parts(record: RunRecord, gate: GateView | None) -> list[tuple[str, str]]:
    """The parts that a reader can jump to: the id of each and its name."""
    parts = {
        "findings": "Findings" if gate else "",
        "gates": "Gates",
        "measures": "Measures",
        "latency": "Latency",
        "ladder": "Ladder" if record.survival else "",
        "probes": "Probes" if breakdowns(record) else "",
        "determinism": "Determinism" if audit_rows.audit_rows(record) else "",
        "history": "History",
        "adapter": "Adapter",
        "replies": "Replies",
        "environment": "Environment",
    }
    return [(id, title) for id, title in parts.items() if title]


def _facets(record: RunRecord, gate: GateView | None, names: list[str]) -> list[Facet]:
    statuses = [_label(verdict) for verdict in worst_first(record.verdicts)]
    if gate:
        statuses = [finding.outcome for finding in gate.report.findings] + statuses
    suites = dict.fromkeys(reply.suite for variant in record.variants for reply in variant.replies)
    return [
        Facet("variant", "variant", "all variants", tuple(dict.fromkeys(names))),
        Facet("status", "verdict", "every verdict", tuple(dict.fromkeys(statuses))),
        Facet("reply", "reply", "right and wrong", ("right", "wrong") if suites else ()),
        Facet("suite", "suite", "all suites", tuple(suites)),
    ]


def _label(verdict: Verdict) -> str:
    """The verdict in a word; of a control the opposite counts: it must fail."""
    if verdict.role == "control" and verdict.status in ("pass", "xfail"):
        return "fails as it must"
    if verdict.role == "control" and verdict.status in ("fail", "xpass"):
        return "CONTROL PASSED"
    return verdict.status


def _no_history(lane: LaneRuns | None) -> str:
    """Why there is nothing to draw."""
    if lane is None:
        return "No history was looked at."
    damaged = f" {lane.damaged} could not be read." if lane.damaged else ""
    return (
        f"This lane has {lane.earlier} earlier run{'' if lane.earlier == 1 else 's'}; "
        f"its course is drawn from {LEAST_EARLIER} on.{damaged}"
    )


def _gates(verdicts: Iterable[Verdict]) -> list[str]:
    return list(dict.fromkeys(verdict.gate for verdict in verdicts))


def _matrix(record: RunRecord, variants: Iterable[str]) -> list[MatrixRow]:
    by_place: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in record.verdicts:
        by_place.setdefault((verdict.variant, verdict.gate), []).append(verdict)
    gates = _gates(record.verdicts)
    return [MatrixRow(name, tuple(tuple(by_place.get((name, gate), ())) for gate in gates)) for name in variants]


def _replies(variant: VariantRecord) -> VariantReplies:
    ordered = tuple(sorted(variant.replies, key=lambda reply: reply.correct))
    return VariantReplies(variant, ordered, sum(not reply.correct for reply in ordered))


def _samples(variants: Iterable[VariantRecord]) -> list[Sampled]:
    return [
        Sampled(variant.name, name, s.what, s.unit, len(s.values), min(s.values), median(s.values), max(s.values))
        for variant in variants
        for name, s in variant.latency.items()
        if s.values
    ]


def _calls(reply: Reply) -> str:
    return "\n".join(json.dumps(call.model_dump(), ensure_ascii=False, indent=1) for call in reply.calls)
