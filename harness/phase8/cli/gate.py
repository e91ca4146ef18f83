"""The command of the merge gate: judge a run that is given, or measure here and judge that."""

import argparse

from phase8.core.errors import InvalidInput
from phase8.profile import loading
from phase8.runner import plan
from phase8.runner.context import CONSOLE, ready_flow, say
from phase8.runner.run import run_phase8, summarise
from phase8.stages.flow import Flow


def gate(options: argparse.Namespace) -> int:
    """Judge a run against its lane's baseline, or against another commit; run Phase 8 first where none is given."""
    from phase8.cli.gate_files import commit_of, judge_results

    if options.results or options.merge:
        if options.against:
            raise InvalidInput("--against measures here: it goes with neither --results nor --merge")
        return judge_results(options, CONSOLE, commit_of(options.commit))
    if options.commit:
        raise InvalidInput("--commit needs --results or --merge: without them this checkout is measured")
    if options.against and options.baseline:
        raise InvalidInput("--against and --baseline both name what to compare with: give one of them")
    return _gate_here(argparse.Namespace(**vars(options) | {"profile": options.profile or loading.DEFAULT}))


def _gate_here(options: argparse.Namespace) -> int:
    """Run Phase 8 at the other commit, if one is named, and here; time both sides in one job, and judge.

    What refuses once work has begun is the gate's outcome too: it stands in ``gate.json``, where an earlier one's might
    say fine.
    """
    from phase8.cli.gate_files import refuse

    flow = ready_flow(options)
    plan.require_machine(flow)
    try:
        return _measure_and_judge(flow, options)
    except InvalidInput as error:
        return refuse(str(error), options, CONSOLE)


def _measure_and_judge(flow: Flow, options: argparse.Namespace) -> int:
    from phase8.cli.gate_files import judge_results
    from phase8.gates.outcome import outcome
    from phase8.record.files import load_run
    from phase8.regression.timing import time_against
    from phase8.regression.worktree import run_there, tree_at

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
