"""The command of the merge gate: judge a run that is given, or measure here and judge that."""

import argparse

from harness import plan, profile
from harness.errors import InvalidInput
from harness.flow import Flow
from harness.given import CONSOLE, ready_flow, say
from harness.phase8 import run_phase8, summarise


def gate(options: argparse.Namespace) -> int:
    """Judge a run against its lane's baseline, or against another commit; run Phase 8 first where none is given."""
    from harness.gate_stage import commit_of, judge_results

    if options.results or options.merge:
        if options.against:
            raise InvalidInput("--against measures here: it goes with neither --results nor --merge")
        return judge_results(options, CONSOLE, commit_of(options.commit))
    if options.commit:
        raise InvalidInput("--commit needs --results or --merge: without them this checkout is measured")
    if options.against and options.baseline:
        raise InvalidInput("--against and --baseline both name what to compare with: give one of them")
    return _gate_here(argparse.Namespace(**vars(options) | {"profile": options.profile or profile.DEFAULT}))


def _gate_here(options: argparse.Namespace) -> int:
    """Run Phase 8 at the other commit, if one is named, and here; time both sides in one job, and judge.

    What refuses once work has begun is the gate's outcome too: it stands in ``gate.json``, where an earlier one's might
    say fine.
    """
    from harness.gate_stage import refuse

    flow = ready_flow(options)
    plan.require_machine(flow)
    try:
        return _measure_and_judge(flow, options)
    except InvalidInput as error:
        return refuse(str(error), options, CONSOLE)


def _measure_and_judge(flow: Flow, options: argparse.Namespace) -> int:
    from harness.against import run_there, tree_at
    from harness.gate_latency import time_against
    from harness.gate_stage import judge_results
    from harness.outcome import outcome
    from harness.runfile import load_run

    other = None
    if options.against:
        tree = tree_at(options.against, flow.located, options.build, say)
        reports = options.build / "against" / f"{tree.commit[:16]}-{flow.profile.name}"
        run_there(tree, flow.located, options.build, reports, say)
        other = load_run(reports)
        there = outcome(other)
        if lost := [*there.events, *(f"{v.variant}: {v.gate}" for v in there.failed if v.status == "missing")]:
            raise InvalidInput(f"--against {options.against}: not all was measured there, first {lost[0]}")
    ran = run_phase8(argparse.Namespace(**vars(options), plan=False, variant=[]))
    if not (options.reports / "run.json").is_file():
        raise InvalidInput(f"Phase 8 ended with {ran} and left no run: what it said stands above. Nothing was judged")
    options.results = options.reports / "run.json"
    code = judge_results(
        options, CONSOLE, None, other, lambda run_, baseline: time_against(flow, run_, baseline, options.against, say)
    )
    summarise(options.reports)
    return code
