"""The pages that the browser looks at: made by the real templates from small runs."""

from pathlib import Path

from phase8.history.file import Summary, summarise
from phase8.history.lanes import LaneRuns, runs_until
from phase8.record.run import Reply, RunRecord, VerdictFile
from phase8.record.view import DECODE
from phase8.regression.checks import compare_with_baseline
from phase8.regression.findings import Finding, GateReport, Origin, Outcome, gate_report
from phase8.report.gate_section import gate_html
from phase8.report.write import html
from suites.unit.gates import COMMIT, PRODUCTION, PROFILE, losing, timed, whole_run, with_replies
from suites.unit.ladders import answer, diagnosis, ladder, rung
from suites.unit.records import canonical, held_out, loss, probes, record, reply, samples, training, variant, verdict

HOSTILE = (
    "</script><script>window.broken=1</script><img src=x onerror='window.broken=2'></pre></details></style>"
    "<svg onload='window.broken=3'></svg><a href=\"javascript:window.broken=4\" onmouseover='window.broken=5'>press</a>"
    "<iframe srcdoc='<script>parent.broken=6</script>'></iframe><base href='http://127.0.0.1:9/'>"
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css> {{ 7*7 }} [x](javascript:alert(1)) \x1b[31mred\x9b31m "
    "\u202egnp.exe\u2066 \u05e9\u05dc\u05d5\u05dd `tick`\n```\n# heading \ud800"
)
LONG = "a-name-without-any-place-to-break-it-" * 12


def write_pages(folder: Path) -> dict[str, Path]:
    """Every page as a file, by name."""
    made = {
        "run": html(run()),
        "hostile": html(hostile_run(), lane=hostile_lane(), gate=hostile_gate()),
        "lane": html(run(), lane=lane()),
        "gate": html(regressed(), gate=regression()),
        "unreadable": gate_html(
            gate_report([Finding(check="input", subject="run", outcome="invalid", detail=HOSTILE)])
        ),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


def run() -> RunRecord:
    """Two production variants, a candidate and a control; one fails gates and gets prompts of every suite wrong."""
    worse = (*canonical(3), *held_out(12), *probes(4))
    fine = (*canonical(), *held_out(20), *probes())
    judged = verdict(gate="accuracy vs adapter", status="inconclusive", blocks=False, paired=loss(lost=("probe-05",)))
    failed = verdict(gate="canonical", status="fail", measured=0.6, limit=1.0, unit="share", failures=("async-await",))
    others = [verdict("fused-8bit", gate, measured=1.0, limit=0.95, unit="share") for gate in ("canonical", "held-out")]
    return record(
        variants=(
            variant(replies=worse),
            variant("fused-8bit", replies=fine, bits=8, bits_per_weight=8.5),
            variant("fused-4bit", role="candidate", replies=worse, bits=4, bits_per_weight=4.5),
        ),
        verdicts=(
            failed,
            verdict(gate="held-out", status="missing"),
            judged,
            *others,
            verdict("fused-4bit", "canonical", "xfail", role="candidate"),
            verdict("always-call", "control", "xfail", role="control", measured=0.6, unit="share"),
        ),
        survival=ladder(
            rung(8, size_bytes=120_000_000),
            rung(5),
            rung(5, variant="fused-5bit.mlx-lm", size_bytes=80_000_000),
            answer=answer(),
            diagnoses=(diagnosis(),),
        ),
    )


def lane(count: int = 40) -> LaneRuns:
    """Runs of one lane whose decode rate falls for good in the middle."""
    last = runs_until(run(), ()).runs
    runs = [_summary(i, 100.0 + i % 3 if i < count // 2 else 90.0 + i % 3) for i in range(count)]
    return LaneRuns((*runs, *last))


def _summary(day: int, rate: float, name: str = "fused-5bit") -> Summary:
    made = record(
        started=f"2026-01-{1 + day % 28:02}T{day // 28:02}:00:00+00:00",
        variants=(variant(name, latency={DECODE: samples(rate)}),),
    )
    return summarise(made, VerdictFile(exit_code=0, outcome="pass", reasons=(), partial=False))


def regressed() -> RunRecord:
    """A run of ``pocket`` that lost held-out prompts and calls something else where the baseline called right."""
    old = next(v for v in whole_run().variants if v.name == PRODUCTION)
    first = next(r for r in old.replies if r.suite == "canonical" and r.calls)
    other = first.calls[0].model_copy(update={"arguments": {"command": "grep -rn class ."}})
    return with_replies(losing(whole_run(), PRODUCTION, 20), PRODUCTION, {first.case: {"calls": (other,)}})


def regression() -> GateReport:
    """What the merge gate says of it."""
    judged = regressed()
    origin = Origin(lane=judged.lane, profile=judged.profile, started=judged.started, commit=COMMIT)
    return gate_report(compare_with_baseline(judged, whole_run(), PROFILE), origin, None, "the first", (timed(),))


def hostile_run() -> RunRecord:
    """Hostile and endless text in every place that a model, a user's file or a machine fills."""
    evil = reply(HOSTILE, "direct", right=False, text=HOSTILE, query=HOSTILE, after_stop=HOSTILE, failure=HOSTILE)
    probe = evil.model_copy(update={"suite": "probe", "category": HOSTILE, "group": HOSTILE, "text": LONG})
    failed = verdict(HOSTILE, HOSTILE, "fail", detail=HOSTILE, failures=(HOSTILE, LONG), unit=HOSTILE, measured=1.0)
    return record(
        variants=(_hostile(HOSTILE, (evil, probe)), _hostile(LONG, (evil,))),
        verdicts=(
            failed,
            verdict(LONG, LONG, "fail", detail=LONG),
            verdict(HOSTILE, "paired", "fail", paired=loss(lost=(HOSTILE,))),
        ),
        artefacts={HOSTILE: HOSTILE, LONG: LONG},
        training=training(modules=(HOSTILE, LONG), rung=HOSTILE),
        profile_description=HOSTILE,
        lane=HOSTILE,
        survival=ladder(
            rung(5, variant=HOSTILE),
            rung(4, variant=LONG),
            reference_reason=HOSTILE,
            opening=HOSTILE,
            answer=answer(HOSTILE),
            diagnoses=(diagnosis(HOSTILE),),
        ),
    )


def _hostile(name: str, replies: tuple[Reply, ...]):
    timed = {DECODE: samples(1.0, 2.0, 3.0, 4.0, unit=HOSTILE, what=HOSTILE), HOSTILE: samples(1.0, unit=LONG)}
    return variant(name, replies=replies, latency=timed, replies_on=HOSTILE)


def hostile_gate() -> GateReport:
    """A gate's report on the hostile run."""
    finding = _finding("regressed")
    flips = compare_with_baseline(regressed(), whole_run(), PROFILE)
    flip = next(flip for one in flips for flip in one.flips)
    evil = flip.model_copy(update={"case": HOSTILE, "query": HOSTILE, "before": HOSTILE, "after": LONG})
    return gate_report([finding.model_copy(update={"flips": (evil,)})], None, None, HOSTILE)


def _finding(outcome: Outcome) -> Finding:
    names, diff = (HOSTILE, LONG), f"--- baseline\n+++ run\n+{HOSTILE}"
    return Finding(check=HOSTILE, subject=HOSTILE, outcome=outcome, detail=HOSTILE, names=names, difference=diff)


def hostile_lane() -> LaneRuns:
    """A history whose variants have hostile names."""
    return LaneRuns(tuple(_summary(i, 100.0 - (i > 20) * 20 - i % 2, HOSTILE) for i in range(40)), damaged=1)
