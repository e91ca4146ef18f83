"""The run as Markdown for a pull request or a job summary: short enough to post, worst news first."""

from collections.abc import Iterable

from phase8.core.safe_text import markdown_text as _text
from phase8.core.safe_text import one_line
from phase8.gates.outcome import Outcome, outcome
from phase8.gates.verdicts import is_failure, worst_first
from phase8.record.ladder import LadderRecord
from phase8.record.run import Environment, Reply, RunRecord, Verdict
from phase8.report import columns as cells
from phase8.report import ladder_columns as ladder_cells
from phase8.report.audit import ABOUT, AuditRow, audit_rows
from phase8.report.breakdown import DECISIONS, Breakdown, LostPrompt, breakdowns
from phase8.report.rows import Row, rows

LIMIT = 65_000
_SHARES = {
    "failures": 15_000,
    "table": 10_000,
    "gates": 7_000,
    "open": 4_000,
    "environment": 4_000,
    "probes": 2_500,
    "ladder": 9_000,
    "notes": 2_500,
    "determinism": 2_500,
}
_CASES_SHOWN = 5
_LOST_SHOWN = 10
_EXCERPT = 300


def markdown(record: RunRecord) -> str:
    """The report in under ``LIMIT`` characters; what is left out is counted, and report.html has it."""
    found, result = rows(record), outcome(record)
    failures = [f"- **fail** {_text(event, 400)}" for event in result.events]
    failures += [_failure(record, verdict) for verdict in result.failed]
    others = worst_first(v for v in record.verdicts if v.status in ("inconclusive", "xfail", "xpass", "new"))
    unmeasured = [v for v in record.verdicts if v.status in ("missing", "not applicable")]
    parts = [
        *_title(record, result),
        f"Profile `{_code(record.profile)}`: {_text(record.profile_description, 500)}",
        _section("What failed", failures, "failures", "Nothing."),
        _table(found),
        *_ladder(record),
        *_breakdown_sections(breakdowns(record)),
        *_determinism(audit_rows(record)),
        _section(
            "Open, expected and unexpected", [_gate_line(v) for v in others if not is_failure(v)], "gates", "None."
        ),
        _section("Not applicable or missing", [_gate_line(v) for v in unmeasured], "open", "Nothing."),
        _section("Environment", _environment(record, record.environment), "environment", ""),
        _section("How each number is defined", _definitions(record), "environment", ""),
    ]
    return _cut("\n\n".join(parts) + "\n")


def _cut(text: str) -> str:
    """The text, or as many of its lines as are surely short enough to post, and how many are not there."""
    if len(text) < LIMIT:
        return text
    *kept, rest = _fitting(text.splitlines(), LIMIT - 200)
    return "\n".join([*kept, "", rest.replace("more;", "more lines, cut to fit;")]) + "\n"


def _title(record: RunRecord, result: Outcome) -> list[str]:
    """The smallest safe width first, where it was asked for, then the outcome of the run."""
    line = _text(result.headline, 1000)
    found = record.survival.answer if record.survival else None
    if found is None:
        return [f"# {line}"]
    notes = "\n".join(_fitting([f"- {_text(note, 600)}" for note in found.notes], _SHARES["notes"]))
    return [f"# {_text(found.line, 1000)}", f"**{line}**", *([notes] if notes else [])]


def _ladder(record: RunRecord) -> list[str]:
    """Every rung in one table; nothing for a run without a ladder."""
    found = record.survival
    if found is None:
        return []
    columns = ladder_cells.LADDER
    lines = [f"| {' | '.join(_text(column.cell(rung), 160) for column in columns)} |" for rung in found.rungs]
    kept = _fitting(lines, _SHARES["ladder"])
    outside = ["", kept.pop()] if kept and not kept[-1].startswith("|") else []
    head = [f"| {' | '.join(column.title for column in columns)} |", "|" + " --- |" * len(columns)]
    about = _text(ladder_cells.about(found), 600)
    return ["\n".join(["## The ladder", "", about, "", *head, *kept, *outside]), *_recipes(found)]


def _recipes(found: LadderRecord) -> list[str]:
    """Both recipes at every width; nothing where they were not compared."""
    titles = ladder_cells.RECIPE_TITLES
    lines = [f"| {' | '.join(row)} |" for row in ladder_cells.recipes(found)]
    head = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    return ["\n".join(["### What recipe preserve gains", "", *head, *lines])] if lines else []


def _section(title: str, blocks: Iterable[str], share: str, empty: str) -> str:
    return f"## {title}\n\n" + ("\n".join(_fitting(list(blocks), _SHARES[share])) or empty)


def _fitting(blocks: list[str], limit: int) -> list[str]:
    """As many whole blocks as fit, then how many do not."""
    kept: list[str] = []
    room = limit
    for block in blocks:
        room -= len(block) + 1
        if room < 0:
            return [*kept, f"- … {len(blocks) - len(kept):,} more; report.html has all of them"]
        kept.append(block)
    return kept


def _table(found: list[Row]) -> str:
    titles = [column.title for column in cells.COLUMNS]
    lines = [" | ".join([_text(column.cell(row), 120) for column in cells.COLUMNS]) for row in found]
    kept = _fitting([f"| {line} |" for line in lines], _SHARES["table"])
    outside = [kept.pop()] if kept and not kept[-1].startswith("|") else []
    head = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    return "\n".join(["## Measures", "", *head, *kept, *(["", *outside] if outside else [])])


def _breakdown_sections(found: list[Breakdown]) -> list[str]:
    """Hard probes, phrasings and the adapter; nothing for a run that has none of them."""
    if not found:
        return []
    titles = ["variant", "right", "expected", *DECISIONS]
    head = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    table = _fitting([_matrix(one) for one in found if one.probes], _SHARES["probes"])
    outside = ["", table.pop()] if table and not table[-1].startswith("|") else []
    probes = [*head, *table, *outside] if table or outside else ["No hard probes were asked."]
    categories = [_categories(one) for one in found if one.categories]
    phrasings = [_phrasings(one) for one in found if one.unseen]
    compared = [_compared(one) for one in found if one.paired]
    return [
        "\n".join(["## Hard probes", "", *probes]),
        _section("Hard probes by category", categories, "probes", "None."),
        _section("Phrasings that training never saw", phrasings, "probes", "Not known of the held-out split."),
        _section("Accuracy against the live adapter", compared, "probes", "Nothing was compared with an adapter."),
    ]


def _determinism(found: list[AuditRow]) -> list[str]:
    """What the audit found; nothing for a run that audited nothing."""
    if not found:
        return []
    return [_section("Determinism", [ABOUT, "", *map(_audited, found)], "determinism", "")]


def _audited(row: AuditRow) -> str:
    line = f"- `{_code(row.variant)}`: {row.stable} of {row.prompts} prompts are stable; odds kept of {row.odds} tokens"
    return "\n".join([line, *(f"  - unstable `{_code(one.prompt)}`: {_text(one.why, 300)}" for one in row.unstable)])


def _matrix(found: Breakdown) -> str:
    """The confusion matrix of the probes: one table row a label."""
    lines = []
    for row in found.matrix:
        values = [_text(found.variant, 120), _text(cells.proportion(found.probes), 120)]
        values += [f"{row.label} (n={row.prompts})", *map(str, row.counts)]
        lines.append(f"| {' | '.join(values)} |")
    return "\n".join(lines)


def _categories(found: Breakdown) -> str:
    shares = "; ".join(f"{one.category} {cells.proportion(one.right)}" for one in found.categories)
    return f"- `{_code(found.variant)}`: {_text(shares, 1500)}"


def _phrasings(found: Breakdown) -> str:
    shares = f"unseen phrasings: {cells.proportion(found.unseen)}; seen phrasings: {cells.proportion(found.seen)}"
    return f"- `{_code(found.variant)}` held-out, {shares}"


def _compared(found: Breakdown) -> str:
    paired = found.paired
    assert paired is not None
    line = (
        f"- **{found.status}** `{_code(found.variant)}`: {paired.outcome}, {len(paired.lost)} lost and "
        f"{len(paired.gained)} gained of {paired.prompts}; loss {paired.loss * 100:.1f} %, at most "
        f"{paired.bound * 100:.1f} % with 95 % confidence ({paired.bound_method}); one-sided McNemar p "
        f"{paired.p:.3g}, {paired.adjusted_p:.3g} after Holm over {paired.family}"
    )
    lost = [_lost(one) for one in found.lost[:_LOST_SHOWN]]
    if (rest := len(found.lost) - _LOST_SHOWN) > 0:
        lost.append(f"  - … {rest:,} more lost; report.html has all of them")
    return "\n".join([line, *lost])


def _lost(found: LostPrompt) -> str:
    reply = found.reply
    what = f": {reply.label} expected, found {reply.decision}. {_text(reply.query, 120)}" if reply else ""
    return f"  - lost `{_code(found.case)}`{what}"


def _gate_line(verdict: Verdict) -> str:
    value = cells.against_limit(verdict)
    line = f"- **{verdict.status}** `{_code(verdict.variant)}` {_text(verdict.gate, 80)}"
    return (
        line
        + (f": {_text(value, 200)}" if value else "")
        + (f". {_text(verdict.detail, 300)}" if verdict.detail else "")
    )


def _failure(record: RunRecord, verdict: Verdict) -> str:
    """The gate, and its first failing cases with what the variant replied."""
    lines = [_gate_line(verdict)]
    of_variant = [reply for v in record.variants if v.name == verdict.variant for reply in v.replies]
    # of several replies to a case (two turns, two suites) the first wrong one
    replies = {reply.case: reply for reply in sorted(of_variant, key=lambda reply: not reply.correct)}
    lines += [_case(case, replies.get(case)) for case in verdict.failures[:_CASES_SHOWN]]
    if (rest := len(verdict.failures) - _CASES_SHOWN) > 0:
        lines.append(f"  - … {rest:,} more failing cases; report.html has all of them")
    return "\n".join(lines)


def _case(case: str, reply: Reply | None) -> str:
    if reply is None:
        return f"  - `{_code(case)}`"
    what = f"{reply.label} expected, found {reply.decision}" + (f" ({reply.failure})" if reply.failure else "")
    text = f"`{_code(one_line(reply.text, _EXCERPT))}`" if reply.text.strip() else "an empty reply"
    return f"  - `{_code(case)}`: {_text(what, 200)}. Query: {_text(reply.query, 200)} Reply: {text}"


def _environment(record: RunRecord, machine: Environment) -> list[str]:
    commit = "not a git checkout" if machine.commit is None else machine.commit + (" (dirty)" if machine.dirty else "")
    facts = {
        "machine": f"{machine.chip}, {machine.cores} cores, {machine.memory_gb:.1f} GB",
        "system": f"{machine.system} {machine.machine}, {machine.disk_free_gb:.1f} GB of disk free",
        "device": f"{machine.device}, BLAS {machine.blas}, compute dtype {machine.compute_dtype}",
        "lane": record.lane,
        "commit": commit,
        "run": f"started {record.started}, took {record.seconds:.0f} s",
        "profile hash": record.profile_hash,
        "replies made on": "; ".join(dict.fromkeys(f"{v.name}: {v.replies_on}" for v in record.variants)),
        "versions": ", ".join(
            f"{name} {version}" for name, version in {"python": machine.python, **machine.versions}.items()
        ),
    }
    return [f"- {name}: {_text(value, 600)}" for name, value in facts.items()]


def _definitions(record: RunRecord) -> list[str]:
    lines = [f"- **{column.title}**: {column.meaning}" for column in cells.COLUMNS]
    if record.survival:
        lines += [f"- **{column.title}** (ladder): {column.meaning}" for column in ladder_cells.LADDER]
    return [*lines, f"- **{cells.NOT_MEASURED}**: the run has no such number; it is never counted as 0."]


def _code(text: str) -> str:
    """Text for a code span: one line without backticks, which would end the span."""
    return one_line(text, 400).replace("`", "\u02cb").replace("|", "\u2223") or " "
