"""The merge gate on files: a run measured here or elsewhere, the accepted baseline, and what is written of both."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from phase8.cli.shards import merge_shards, read_shards
from phase8.core.artefact import digest
from phase8.core.errors import InvalidInput
from phase8.core.files import write_text
from phase8.core.git import git
from phase8.core.project import ROOT
from phase8.core.safe_text import visible
from phase8.core.store import HISTORY
from phase8.history import lanes as history
from phase8.history.file import is_history_file, read
from phase8.profile import loading
from phase8.profile.loading import Located
from phase8.record.files import clear_reports, load_run
from phase8.record.run import RunRecord
from phase8.regression.checks import compare_with_baseline
from phase8.regression.findings import Finding, GateReport, Origin, gate_report
from phase8.regression.latency import Timed
from phase8.regression.validity import soundness
from phase8.report import ci as job_summary
from phase8.report.gate_section import gate_html
from phase8.report.gate_text import gate_markdown, terminal_lines
from phase8.report.write import write

REFUSED = "input"
Timing = Callable[[RunRecord, RunRecord], Timed]


def judge_results(
    options: argparse.Namespace,
    console: Console,
    commit: str | None,
    against: RunRecord | None = None,
    timing: Timing | None = None,
) -> int:
    """Judge a run that was measured elsewhere, or the shards of one, or the one just made; the gate's exit code.

    Loads no model and needs no MLX, but for ``timing``, which times the run's variants beside the baseline's. What
    cannot be judged is written as ``gate.json`` too, and ends with 2.
    """
    run = None
    try:
        run = _merged(options, options.merge) if options.merge else _load(options.results)
        report = judge(run, _located(options, run), options, commit, against, timing)
    except InvalidInput as error:
        report = _refusal(str(error), run)
    _write_page(report, run, options)
    return publish(report, options.reports, console)


def refuse(why: str, options: argparse.Namespace, console: Console) -> int:
    """Write that nothing could be judged, and why, in the place of whatever an earlier gate left; 2."""
    clear_reports(options.reports)
    report = _refusal(why, None)
    _write_page(report, None, options)
    return publish(report, options.reports, console)


def _refusal(why: str, run: RunRecord | None) -> GateReport:
    finding = Finding(check=REFUSED, subject="run", outcome="invalid", detail=why)
    return gate_report([finding], _origin(run) if run else None)


def judge(
    run: RunRecord,
    located: Located,
    options: argparse.Namespace,
    commit: str | None,
    against: RunRecord | None = None,
    timing: Timing | None = None,
) -> GateReport:
    """A run against the one it is given, else against the baseline of its lane, or the one that was named.

    Raises:
        InvalidInput: no baseline, or one that cannot be read.
    """
    wanted = digest(located.profile.model_dump(mode="json"))[:16]
    findings = soundness(run, located.profile, wanted, commit)
    baseline, reason = (against, "measured now, named by --against") if against else _baseline(options, run.lane)
    timed = timing(run, baseline) if timing else None
    findings += compare_with_baseline(run, baseline, located.profile, timed)
    latency = timed.blocked if timed else ()
    return gate_report(findings, _origin(run), _origin(baseline), reason, latency)


def _baseline(options: argparse.Namespace, lane: str) -> tuple[RunRecord, str]:
    """The accepted run of a lane, or the one that was named, and why it was accepted."""
    if options.baseline:
        found = read(history.find(options.baseline, (options.build / HISTORY, options.history)))
    else:
        found = history.baseline(options.history, lane)
    accepted = found.summary.accepted
    return found.record, accepted.reason if accepted else "never accepted, named by --baseline"


def commit_of(given: str | None) -> str:
    """The full id of the commit that is judged: the one given, else this checkout's.

    Raises:
        InvalidInput: this is no git checkout and none was given, or git does not know it.
    """
    try:
        found = git(ROOT, "rev-parse", "--verify", "--quiet", f"{given or 'HEAD'}^{{commit}}")
    except InvalidInput:
        found = ""
    if not found and given and len(given) == 40:
        return given  # measured in a clone whose commits this one does not have
    if not found:
        what = f"{given!r} is no commit of this checkout" if given else "this is no git checkout"
        raise InvalidInput(f"commit: {what}. Give --commit with all 40 digits of the commit that was measured.")
    return found


def publish(report: GateReport, reports: Path, console: Console) -> int:
    """Write gate.json and gate.md, add the latter to a CI job's summary, print the findings; the exit code."""
    text = gate_markdown(report)
    write_text(reports / "gate.json", report.model_dump_json(indent=1) + "\n")
    write_text(reports / "gate.md", text)
    job_summary.append(text)
    colour = {0: "green", 1: "red", 2: "red", 3: "yellow"}[report.exit_code]
    console.print(Text(report.outcome.upper(), style=colour))
    for line in terminal_lines(report):
        console.print(Text(visible(line)), soft_wrap=True)
    told = f"All figures: {reports / 'report.html'}, {reports / 'gate.md'}"
    console.print(told, highlight=False, soft_wrap=True)
    return report.exit_code


def _write_page(report: GateReport, run: RunRecord | None, options: argparse.Namespace) -> None:
    """report.html with the gate before the run, and the run's report.md; the gate alone where no run could be read."""
    if run is None:
        write_text(options.reports / "report.html", gate_html(report))
        return
    lane = history.runs_until(run, (options.build / HISTORY, options.history))
    write(run, options.reports, lane, report)


def _load(path: Path) -> RunRecord:
    return read(path).record if is_history_file(path) else load_run(path)


def _located(options: argparse.Namespace, run: RunRecord) -> Located:
    """The profile given, else the shipped one that the run names."""
    if options.profile is None and not (loading.PROFILES / f"{run.profile}.toml").is_file():
        raise InvalidInput(f"profile {run.profile!r} of the run is not a shipped one: give --profile with its file")
    return loading.load(options.profile or run.profile)


def _merged(options: argparse.Namespace, folder: Path) -> RunRecord:
    """The shards below a folder as one run, which is written to the reports."""
    shards = read_shards(folder, options.reports)
    located = _located(options, next(iter(shards.values())))
    return merge_shards(shards, located.profile, options.reports, options.build)


def _origin(run: RunRecord) -> Origin:
    return Origin(lane=run.lane, profile=run.profile, started=run.started, commit=run.environment.commit)
