"""Phase 8 itself: build what is missing, let pytest judge every variant, show what came out."""

import argparse
import subprocess
import sys
from pathlib import Path

from phase8.core.artefact import Step
from phase8.core.project import ROOT
from phase8.core.store import HISTORY
from phase8.runner import plan
from phase8.runner.context import CONSOLE, ERRORS, ensure, flow_of, ready_flow
from phase8.runner.parallel import ask, score
from phase8.stages.external import External
from phase8.stages.flow import Flow
from phase8.survival.stage import SurvivalStage, all_steps

_TOGETHER = ("replies", "scores", "survived")  # made for several variants at once, when all else is there


def run_phase8(options: argparse.Namespace) -> int:
    """The run itself, or with --plan what it would do; its exit code."""
    from phase8.record.files import clear_reports

    flow = flow_of(options)
    for name in options.variant:
        flow.variant(name)
    if options.plan:
        return 0 if plan.show(flow, CONSOLE, all_steps(flow, options.variant)) else 2
    plan.require_machine(flow, all_steps(flow, options.variant))
    flow = ready_flow(options, lambda flow: all_steps(flow, options.variant))
    flow.store.hashes.keep()
    clear_reports(options.reports)  # an earlier verdict would stand for a run that fails before it is judged
    steps = all_steps(flow, options.variant)
    unbuilt = [step for step in steps if isinstance(step, Step) and not flow.store.find(step)]
    widths = [step for step in unbuilt if step.stage == "fused"]
    for source in steps:
        if source in widths:
            flow.fused_together(widths)  # the first of them builds all
        elif isinstance(source, External) or source.stage not in _TOGETHER or source not in unbuilt:
            ensure(flow, source)
    ask(flow, flow.named(options.variant), options.build)
    score(flow, options.variant, options.build)
    if flow.profile.survival:
        SurvivalStage(flow).survived_together(options.variant)
    return _judge_with_pytest(flow, options.variant, options.build, options.reports)


def _judge_with_pytest(flow: Flow, variants: list[str], build: Path, reports: Path) -> int:
    """Run ``suites/phase8`` in a process of its own, which writes the reports; show them, and give the run's exit code.

    How pytest ended is part of the outcome, and is written before it has ended: where it then ends otherwise, the
    reports are written anew, so that all of them say what the exit code says.
    """
    from phase8.gates.outcome import accounts_for, outcome
    from phase8.history.lanes import keep
    from phase8.record.files import NAME, VERDICT, load_run
    from phase8.report.write import publish, terminal

    # Named, since pytest looks for it above every path that it is given: --build may be in another checkout.
    settings = ["-c", str(ROOT / "pyproject.toml"), str(ROOT / "suites" / "phase8")]
    command = [sys.executable, "-m", "pytest", *settings, "--profile", str(flow.located.path)]
    command += [
        "--build",
        str(build),
        "--reports",
        str(reports),
        "-q",
        "-rxX",
        "--tb=short",
        "--no-header",
        "--benchmark-quiet",
    ]
    # Storage is named, since pytest-benchmark makes its folder at once: without, .benchmarks in the checkout.
    command += [f"--benchmark-storage=file://{build / HISTORY}"]
    command += [f"--benchmark-json={reports / 'benchmark.json'}", f"--junitxml={reports / 'junit.xml'}"]
    command += [argument for name in variants for argument in ("--variant", name)]
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not (reports / NAME).is_file():
        ERRORS.print(f"pytest ended with {ended} and left no {NAME}: nothing was judged", style="red")
        return 1
    record = load_run(reports)
    if not (accounts_for(record, ended) and (reports / VERDICT).is_file()):
        record = record.model_copy(update={"pytest_status": ended})
        publish(record, reports, (build / HISTORY,))
    keep(reports, build / HISTORY)
    terminal(record, CONSOLE, reports)
    return outcome(record).exit_code


def summarise(reports: Path) -> None:
    """Add the run's Markdown to the summary of a CI job."""
    from phase8.report import ci as job_summary

    if (report := reports / "report.md").is_file():
        job_summary.append(report.read_text(encoding="utf-8"))
