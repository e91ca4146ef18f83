"""What each command does: find or build artefacts, print what came out. The larger ones have modules of their own."""

import argparse
import json
from collections.abc import Sequence

from phase8.cli.artefacts import artefacts
from phase8.cli.data import data
from phase8.cli.gate import gate
from phase8.core.artefact import Step
from phase8.core.errors import InvalidInput
from phase8.core.files import write_text
from phase8.core.machine import GB
from phase8.core.project import ROOT
from phase8.profile import terms
from phase8.record import files
from phase8.runner import plan
from phase8.runner.context import CONSOLE, ERRORS, ensure, flow_of, planned_only, ready_flow, store_of, trainable_flow
from phase8.runner.run import run_phase8, summarise
from phase8.stages.flow import Flow
from phase8.survival.stage import SurvivalStage

__all__ = ["artefacts", "data", "gate"]  # found here by name, as all commands are


def run(options: argparse.Namespace) -> int:
    """Build what is missing, let the suites judge every variant, show the result, also in a CI job's summary."""
    code = run_phase8(options)
    if not options.plan:
        summarise(options.reports)
    return code


def probe(options: argparse.Namespace) -> int:
    """Probe and say which rung fits."""
    flow = trainable_flow(options, lambda flow: [flow.probe])
    if (code := planned_only(flow, [flow.probe], options)) is not None:
        return code
    from phase8.stages.flow import read_probe

    found = read_probe(flow.path(flow.probe))
    for attempt in found.attempts:
        CONSOLE.print(f"did not fit: {attempt}", highlight=False)
    peak, ceiling = found.peak_bytes / GB, found.ceiling_bytes / GB
    CONSOLE.print(f"fits: {found.rung}; peak {peak:.2f} GB, ceiling {ceiling:.2f} GB", highlight=False)
    return 0


def train(options: argparse.Namespace) -> int:
    """Train and say where the adapter is."""
    flow = trainable_flow(options, lambda flow: [flow.adapter])
    if (code := planned_only(flow, [flow.adapter], options)) is not None:
        return code
    CONSOLE.print(str(ensure(flow, flow.adapter)), highlight=False, soft_wrap=True)
    return 0


def fuse(options: argparse.Namespace) -> int:
    """Fuse at one width or at all of them and say where the models are."""

    def widths(flow: Flow) -> list[Step]:
        fusing = flow.profile.fuse
        wanted = [options.bits] if options.bits is not None or not fusing else fusing.widths
        return [flow.fused(bits) for bits in wanted]

    flow = ready_flow(options, widths)
    steps = widths(flow)
    if (code := planned_only(flow, steps, options)) is not None:
        return code
    flow.fused_together(steps)
    for step in steps:
        CONSOLE.print(str(ensure(flow, step)), highlight=False, soft_wrap=True)
    return 0


def replies(options: argparse.Namespace) -> int:
    """Ask the named variants every case and say where their replies are."""

    def asked(flow: Flow) -> list[Step]:
        return [flow.replies(flow.variant(name)) for name in flow.named(options.variant)]

    flow = ready_flow(options, asked)
    return _made(flow, asked(flow), options)


def scores(options: argparse.Namespace) -> int:
    """Score the named rungs of the ladder on the held-out rows and say where their scores are."""

    def scored(flow: Flow) -> list[Step]:
        ladder = SurvivalStage(flow)
        return [ladder.scores(rung) for rung in [ladder.rung(name) for name in options.variant] or ladder.rungs]

    flow = ready_flow(options, scored)
    return _made(flow, scored(flow), options)


def work(options: argparse.Namespace) -> int:
    """Print what measuring the named variants takes, one JSON object, building what is missing."""
    flow = ready_flow(options)
    found = {}
    for variant in map(flow.variant, flow.named(options.variant)):
        asked = flow.work(variant, ())
        queries = [case.id for case in asked.cases]
        found[variant.name] = {
            "artefact": variant.key,
            "content": flow.content(variant),
            "queries": queries,
            "json": asked.model_dump_json(),
        }
    print(json.dumps(found))
    return 0


def _made(flow: Flow, steps: Sequence[Step], options: argparse.Namespace) -> int:
    """Say where the artefacts of these steps are, building what is missing; with --plan only what would be built."""
    if (code := planned_only(flow, steps, options)) is not None:
        return code
    for step in steps:
        CONSOLE.print(str(ensure(flow, step)), highlight=False, soft_wrap=True)
    return 0


def shards(options: argparse.Namespace) -> int:
    """Print lane, cache key and shards as lines that ``$GITHUB_OUTPUT`` takes; builds nothing."""
    from phase8.shards.plan import outputs

    print(outputs(flow_of(options)))
    return 0


def docs(_: argparse.Namespace) -> int:
    """Write what the documents say of profiles and of run files, as the code has it."""
    from phase8.profile import reference

    for name, text in (("profile.md", reference.page()), ("run.schema.json", files.schema_text())):
        path = ROOT / "docs" / name
        write_text(path, text)
        CONSOLE.print(f"written: {path.relative_to(ROOT)}", highlight=False)
    return 0


def doctor(_: argparse.Namespace) -> int:
    """Print what MLX runs on."""
    from phase8.engine.doctor import report

    report(CONSOLE)
    return 0


def integrity(options: argparse.Namespace) -> int:
    """Judge a fused folder by its base and adapter; what differs by rounding alone is fine."""
    from phase8.engine.integrity.check import integrity as judge_folders
    from phase8.report.integrity import closing_line, show

    (found,) = judge_folders(options.base, options.adapter, [options.folder])
    if options.json:
        print(found.model_dump_json(indent=1))
        ERRORS.print(closing_line(found), highlight=False, soft_wrap=True)
    else:
        show(found, CONSOLE)
    return 0 if found.outcome in ("equal", "rounding") else 1


def compare(options: argparse.Namespace) -> int:
    """Set two runs side by side."""
    from phase8.record.files import load_run
    from phase8.report.compare import compare as compare_runs
    from phase8.report.compare import render

    first, second = (load_run(path) for path in options.runs)
    render(compare_runs(first, second), CONSOLE)
    return 0


def history(options: argparse.Namespace) -> int:
    """List, show, compare, plot or accept runs."""
    from phase8.cli.history import history_command

    return history_command(options, CONSOLE)


def power(options: argparse.Namespace) -> int:
    """Plant regressions, run identical pairs, and report what the merge gate caught and cried about."""
    from phase8.proofs.power.judge import as_it_should
    from phase8.proofs.power.report import save, show
    from phase8.proofs.power.run import Power, asked, report

    if options.pairs < 0:
        raise InvalidInput(f"--pairs is {options.pairs}; 0 or more are needed")
    cases = asked(options.pairs, options.only)
    if not cases:
        raise InvalidInput("--only pair with --pairs 0: there is nothing to run")
    proof = Power(store_of(options))
    found = report(proof, proof.run(cases))
    save(found, options.reports)
    show(found, CONSOLE, options.reports)
    return 0 if as_it_should(found.cases) else 1


def bench(options: argparse.Namespace) -> int:
    """Measure ours against stock mlx-lm."""
    rounds = options.rounds if options.rounds is not None else {"train": 5, "fuse": 3}[options.what]
    if rounds < 2:
        raise InvalidInput(f"--rounds is {rounds}; an interval needs at least 2")
    if options.what == "fuse":
        from phase8.proofs.bench.fuse import bench_fuse

        recipes = terms.RECIPES if options.recipe == "both" else (options.recipe,)
        return bench_fuse(store_of(options), options.parameters, rounds, recipes, CONSOLE)
    flow = trainable_flow(options, lambda flow: [flow.adapter])
    plan.require_machine(flow, plan.leading_to(flow, [flow.adapter]))
    from phase8.proofs.bench.train import bench_train

    return bench_train(flow, rounds, CONSOLE)


def prove(options: argparse.Namespace) -> int:
    """Prove on this machine what fusing and judging rest on."""
    if options.what == "interval":
        from phase8.proofs.interval_coverage import prove_interval

        return prove_interval(CONSOLE)
    flow = flow_of(options)
    if options.what in ("fuse", "rounding") and not (flow.profile.training or flow.profile.adapter):
        raise InvalidInput(f"{flow.located.path}: [training] or [adapter] is missing, so there is nothing to fuse")
    if options.what == "recovery":
        SurvivalStage(flow)
    flow = ready_flow(options)
    plan.require_machine(flow)
    if options.what == "recipe":
        from phase8.proofs.recipe import prove_recipe

        return prove_recipe(flow, options.seeds, options.build / "recipe", CONSOLE)
    if options.what in ("fuse", "rounding"):
        from phase8.proofs.fuse import prove_fuse
        from phase8.proofs.rounding import prove_rounding

        return (prove_fuse if options.what == "fuse" else prove_rounding)(flow, CONSOLE)
    from phase8.proofs.recovery import prove_recovery

    return prove_recovery(SurvivalStage(flow), CONSOLE)


def bfcl(options: argparse.Namespace) -> int:
    """Ask one variant the items of an outside benchmark and report; no score fails."""
    from phase8.proofs.bfcl.items import read_benchmark
    from phase8.proofs.bfcl.report import save, show
    from phase8.proofs.bfcl.run import default_variant, measure

    flow, benchmark = ready_flow(options), read_benchmark(options.data, options.items)
    variant = flow.variant(options.variant or default_variant(flow))
    plan.require_machine(flow, plan.leading_to(flow, [flow.replies(variant)]))
    report = measure(flow, variant, benchmark)
    save(report, options.reports)
    show(report, CONSOLE, options.reports)
    return 0
