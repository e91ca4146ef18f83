"""The run as one self-contained HTML page. Model output is hostile: every value is escaped and made visible."""

import json
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from harness import cells, ladder_cells
from harness.breakdown import DECISIONS, breakdowns
from harness.charts import charts, training_chart
from harness.heatmap import heatmaps
from harness.record import Reply, RunRecord, VariantRecord, Verdict
from harness.summary import headline, is_failure, rows, worst_first
from harness.templating import html_template


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


def html(record: RunRecord) -> str:
    """The page: verdict first, then gates, measures, charts, training, replies, environment, hashes."""
    found = rows(record)
    return html_template("report.html.j2").render(
        record=record,
        headline=headline(record),
        rows=found,
        columns=cells.COLUMNS,
        against_limit=cells.against_limit,
        measured=cells.measured,
        size=cells.size,
        number=cells.number,
        failures=worst_first(verdict for verdict in record.verdicts if is_failure(verdict)),
        is_failure=is_failure,
        gates=_gates(record.verdicts),
        matrix=_matrix(record, [row.variant for row in found]),
        charts=charts(found),
        loss=training_chart(record.training) if record.training else None,
        samples=_samples(record.variants),
        replies=[_replies(variant) for variant in record.variants],
        calls=_calls,
        breakdowns=breakdowns(record),
        decisions=DECISIONS,
        proportion=cells.proportion,
        ladder=record.survival,
        answer=record.survival.answer if record.survival else None,
        ladder_columns=ladder_cells.LADDER,
        about_ladder=ladder_cells.about,
        recipes=ladder_cells.recipes(record.survival) if record.survival else (),
        recipe_titles=ladder_cells.RECIPE_TITLES,
        heatmaps=heatmaps(record.survival.diagnoses) if record.survival else [],
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
