"""What each command does: find or build artefacts, start pytest, print what came out."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import plan, profile
from harness.asking import ask, score
from harness.errors import InvalidInput
from harness.external import External
from harness.flow import Flow, Source
from harness.machine import GB
from harness.profile import ROOT
from harness.record import Leakage
from harness.store import HISTORY, Step, Store, read_manifest, size_on_disk
from harness.survival_stage import SurvivalStage, all_steps

# Off a terminal (a CI log) rich assumes 80 columns, which folds the table of variants.
_CONSOLE = Console() if sys.stdout.isatty() else Console(width=150)
_ERRORS = Console(stderr=True)
_TOGETHER = ("replies", "scores", "survived")  # made for several variants at once, when all else is there


def run(options: argparse.Namespace) -> int:
    """Build what is missing, let the suites judge every variant, show the result, also in a CI job's summary."""
    code = run_phase8(options)
    if not options.plan:
        _summarise(options.reports)
    return code


def run_phase8(options: argparse.Namespace) -> int:
    """The run itself, or with --plan what it would do; its exit code."""
    from harness.runfile import clear_reports

    flow = _flow(options)
    for name in options.variant:
        flow.variant(name)
    if options.plan:
        return 0 if plan.show(flow, _CONSOLE, options.variant) else 2
    plan.require_machine(flow)
    flow = _ready(options)
    clear_reports(options.reports)  # an earlier verdict would stand for a run that fails before it is judged
    steps = all_steps(flow, options.variant)
    unbuilt = [step for step in steps if isinstance(step, Step) and not flow.store.find(step)]
    widths = [step for step in unbuilt if step.stage == "fused"]
    for source in steps:
        if source in widths:
            flow.fused_together(widths)  # the first of them builds all
        elif isinstance(source, External) or source.stage not in _TOGETHER or source not in unbuilt:
            _ensure(flow, source)
    ask(flow, flow.named(options.variant), options.build)
    score(flow, options.variant, options.build)
    if flow.profile.survival:
        SurvivalStage(flow).survived_together(options.variant)
    return _judge_with_pytest(flow, options.variant, options.build, options.reports)


def _judge_with_pytest(flow: Flow, variants: list[str], build: Path, reports: Path) -> int:
    """Run ``suites/phase8`` in a process of its own, which writes the reports; the run's exit code."""
    from harness.history import keep
    from harness.runfile import load_run, load_verdict
    from harness.terminal import terminal

    # Named, since pytest looks for it above every path that it is given: --build may be in another checkout.
    settings = ["-c", str(ROOT / "pyproject.toml"), str(ROOT / "suites" / "phase8")]
    command = [sys.executable, "-m", "pytest", *settings, "--profile", str(flow.located.path)]
    command += ["--build", str(build), "--reports", str(reports), "-q", "-rxX", "--no-header", "--benchmark-quiet"]
    command += [f"--benchmark-json={reports / 'benchmark.json'}", f"--junitxml={reports / 'junit.xml'}"]
    command += [argument for name in variants for argument in ("--variant", name)]
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not (reports / "verdict.json").is_file():
        _ERRORS.print(f"pytest ended with {ended} and wrote no verdict: nothing was judged", style="red")
        return 1
    verdict = load_verdict(reports)
    keep(reports, build / HISTORY)
    terminal(load_run(reports), _CONSOLE, reports)
    return verdict.exit_code if verdict.exit_code or not ended else 1


def _summarise(reports: Path) -> None:
    """Add the run's Markdown to the summary of a CI job."""
    from harness import job_summary

    if (report := reports / "report.md").is_file():
        job_summary.append(report.read_text(encoding="utf-8"))


def data(options: argparse.Namespace) -> int:
    """Build the corpus and say what it consists of, or check a chat file."""
    if options.check:
        if options.plan or options.verify is not None:
            raise InvalidInput(
                "data --check checks one file and builds nothing: it goes with neither --plan nor --verify"
            )
        return _check(options)
    if given := [name for name in ("format", "against", "model", "max_tokens") if getattr(options, name) is not None]:
        raise InvalidInput(f"--{given[0].replace('_', '-')} needs --check FILE, the chat file to be checked")
    flow = _flow(options)
    if options.plan:
        return 0 if plan.show(flow, _CONSOLE) else 2
    from harness.corpus_stage import read_corpus_record

    path = flow.path(flow.corpus)
    if options.verify is not None:
        from harness.verify import verify

        return verify(flow.located, flow.tools, path, options.verify, _CONSOLE)
    found = read_corpus_record(path)
    known = found.longest_row_tokens is not None
    longest = f"longest row {found.longest_row_tokens} of {found.row_tokens} tokens" if known else "rows not measured"
    _CONSOLE.print(
        f"{found.train + found.valid + found.test} examples: {found.train} train, {found.valid} valid, "
        f"{found.test} test; {found.tool_share:.1%} call a tool, {1 - found.tool_share:.1%} answer directly; "
        f"{longest}\n{path}",
        highlight=False,
        soft_wrap=True,
    )
    if found.leakage:
        _CONSOLE.print(_leakage(found.leakage), highlight=False, soft_wrap=True)
    if (card := path / "data_card.html").is_file():
        _CONSOLE.print(f"data card: {card}", highlight=False, soft_wrap=True)
    return 0


def _leakage(found: Leakage) -> str:
    across = [found.highest[pair] for pair in ("train-valid", "train-test", "valid-test")]
    asked = [found.highest[pair] for pair in ("train-canonical", "train-probes")]
    return (
        f"leakage: {found.shared_symbols} symbols in two splits; {found.near_duplicates} pairs across splits at "
        f"{found.near_duplicate_limit} or more (highest {max(across):.2f}); {found.near_held_back} training queries at "
        f"{found.near_held_back_limit} or more to canonical queries and probes (highest {max(asked):.2f}), "
        f"{found.shared_nouns} with their intent and noun\nunseen phrasings: {len(found.unseen_phrasings)} of "
        f"{found.phrasings}, in {found.unseen_test_rows} rows of the test split alone"
    )


def probe(options: argparse.Namespace) -> int:
    """Probe and say which rung fits."""
    flow = _trainable(options)
    if options.plan:
        return 0 if plan.show(flow, _CONSOLE) else 2
    plan.require_machine(flow)
    from harness.flow import read_probe

    found = read_probe(flow.path(flow.probe))
    for attempt in found.attempts:
        _CONSOLE.print(f"did not fit: {attempt}", highlight=False)
    peak, ceiling = found.peak_bytes / GB, found.ceiling_bytes / GB
    _CONSOLE.print(f"fits: {found.rung}; peak {peak:.2f} GB, ceiling {ceiling:.2f} GB", highlight=False)
    return 0


def train(options: argparse.Namespace) -> int:
    """Train and say where the adapter is."""
    flow = _trainable(options)
    if options.plan:
        return 0 if plan.show(flow, _CONSOLE) else 2
    plan.require_machine(flow)
    _CONSOLE.print(str(_ensure(flow, flow.adapter)), highlight=False, soft_wrap=True)
    return 0


def fuse(options: argparse.Namespace) -> int:
    """Fuse at one width or at all of them and say where the models are."""
    flow = _ready(options)
    fusing = flow.profile.fuse
    steps = [flow.fused(bits) for bits in ([options.bits] if options.bits is not None or not fusing else fusing.widths)]
    if options.plan:
        return 0 if plan.show(flow, _CONSOLE) else 2
    plan.require_machine(flow)
    flow.fused_together(steps)
    for step in steps:
        _CONSOLE.print(str(_ensure(flow, step)), highlight=False, soft_wrap=True)
    return 0


def replies(options: argparse.Namespace) -> int:
    """Ask the named variants every case and say where their replies are."""
    flow = _ready(options)
    return _made(flow, [flow.replies(flow.variant(name)) for name in flow.named(options.variant)], options)


def scores(options: argparse.Namespace) -> int:
    """Score the named rungs of the ladder on the held-out rows and say where their scores are."""
    flow = _ready(options)
    ladder = SurvivalStage(flow)
    rungs = [ladder.rung(name) for name in options.variant] or ladder.rungs
    return _made(flow, [ladder.scores(rung) for rung in rungs], options)


def work(options: argparse.Namespace) -> int:
    """Print what measuring the named variants takes, one JSON object, building what is missing."""
    flow = _ready(options)
    found = {}
    for variant in map(flow.variant, flow.named(options.variant)):
        asked = flow.work(variant, ())
        queries = [case.id for case in asked.cases]
        found[variant.name] = {"artefact": variant.key, "queries": queries, "json": asked.model_dump_json()}
    print(json.dumps(found))
    return 0


def _made(flow: Flow, steps: Sequence[Step], options: argparse.Namespace) -> int:
    """Say where the artefacts of these steps are, building what is missing; with --plan only what would be built."""
    if options.plan:
        return 0 if plan.show(flow, _CONSOLE, options.variant) else 2
    plan.require_machine(flow)
    for step in steps:
        _CONSOLE.print(str(_ensure(flow, step)), highlight=False, soft_wrap=True)
    return 0


def shards(options: argparse.Namespace) -> int:
    """Print lane, cache key and shards as lines that ``$GITHUB_OUTPUT`` takes; builds nothing."""
    from harness.sharding import outputs

    print(outputs(_flow(options)))
    return 0


def doctor(_: argparse.Namespace) -> int:
    """Print what MLX runs on."""
    from harness.engine.doctor import report

    report(_CONSOLE)
    return 0


def artefacts(options: argparse.Namespace) -> int:
    """List, verify or prune what was built."""
    if not options.build.is_dir():
        raise InvalidInput(f"{options.build}: no such folder. Build something first, or name another with --build")
    store = Store(options.build)
    if options.action == "prune":
        return _prune(store, options.profile)
    faults = store.verify() if options.action == "verify" else {path: [] for path in store.artefacts()}
    if options.action == "verify" and not faults:
        raise InvalidInput(f"{options.build}: no artefact there, so there is nothing to verify")
    table = Table("stage", "key", "created", "seconds", "size", "state")
    for path, found in faults.items():
        size = f"{size_on_disk(path) / 1e6:.1f} MB"
        try:
            manifest = read_manifest(path)
        except (OSError, ValueError):
            faults[path] = faults[path] or ["not finished, or its manifest is damaged"]
            table.add_row(path.parent.name, path.name, "", "", size, "; ".join(faults[path]))
            continue
        state = "; ".join(found) or ("sound" if options.action == "verify" else "")
        table.add_row(manifest.stage, manifest.key, manifest.created, f"{manifest.seconds:.1f}", size, state)
    _CONSOLE.print(table)
    return 1 if any(faults.values()) else 0


def _prune(store: Store, names: list[str] | None) -> int:
    """Delete what none of these profiles needs; a training of theirs that was interrupted can still go on."""
    if not names:
        raise InvalidInput(
            "artefacts prune deletes what no named profile needs, and none is named. Name each one whose artefacts "
            "are to stay: artefacts prune --profile smollm2 --profile path/to/mine.toml"
        )
    sources = [source for name in names for source in all_steps(Flow(profile.load(name), store))]
    steps = [source for source in sources if not isinstance(source, External)]
    keep = {store.path(step) for step in steps} | {store.partial(step) for step in steps if step.resumable}
    _CONSOLE.print(f"freed {store.prune(keep) / GB:.2f} GB; kept what {', '.join(names)} need")
    return 0


def integrity(options: argparse.Namespace) -> int:
    """Judge a fused folder by its base and adapter; 3 where all that differs is rounding."""
    from harness.engine.integrity import integrity as judge_folders
    from harness.integrity_report import closing_line, show

    (found,) = judge_folders(options.base, options.adapter, [options.folder])
    if options.json:
        print(found.model_dump_json(indent=1))
        _ERRORS.print(closing_line(found), highlight=False, soft_wrap=True)
    else:
        show(found, _CONSOLE)
    return {"equal": 0, "rounding": 3}.get(found.outcome, 1)


def compare(options: argparse.Namespace) -> int:
    """Set two runs side by side."""
    from harness.compare import compare as compare_runs
    from harness.compare import render
    from harness.runfile import load_run

    first, second = (load_run(path) for path in options.runs)
    render(compare_runs(first, second), _CONSOLE)
    return 0


def gate(options: argparse.Namespace) -> int:
    """Judge a run against its lane's baseline, or against another commit; run Phase 8 first where none is given."""
    from harness.gate_stage import commit_of, judge_results

    if options.results or options.merge:
        if options.against:
            raise InvalidInput("--against measures here: it goes with neither --results nor --merge")
        return judge_results(options, _CONSOLE, commit_of(options.commit))
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

    flow = _ready(options)
    plan.require_machine(flow)
    try:
        return _measure_and_judge(flow, options)
    except InvalidInput as error:
        return refuse(str(error), options, _CONSOLE)


def _measure_and_judge(flow: Flow, options: argparse.Namespace) -> int:
    from harness.against import run_there, tree_at
    from harness.gate_latency import time_against
    from harness.gate_stage import judge_results
    from harness.runfile import load_run, load_verdict

    other = None
    if options.against:
        tree = tree_at(options.against, flow.located, options.build, _say)
        reports = options.build / "against" / f"{tree.commit[:16]}-{flow.profile.name}"
        run_there(tree, flow.located, options.build, reports, _say)
        other = load_run(reports)
        if lost := [*other.failures, *(f"{v.variant}: {v.gate}" for v in other.verdicts if v.status == "missing")]:
            raise InvalidInput(f"--against {options.against}: not all was measured there, first {lost[0]}")
    ran = run_phase8(argparse.Namespace(**vars(options), plan=False, variant=[]))
    if not (options.reports / "run.json").is_file():
        raise InvalidInput(f"Phase 8 ended with {ran} and left no run: what it said stands above. Nothing was judged")
    if ran != (told := load_verdict(options.reports).exit_code):
        raise InvalidInput(f"Phase 8 ended with {ran}, its verdict says {told}: pytest itself failed, as stands above")
    options.results = options.reports / "run.json"
    code = judge_results(
        options, _CONSOLE, None, other, lambda run_, baseline: time_against(flow, run_, baseline, options.against, _say)
    )
    _summarise(options.reports)
    return code


def history(options: argparse.Namespace) -> int:
    """List, show, compare, plot or accept runs."""
    from harness.history_commands import history_command

    return history_command(options, _CONSOLE)


def power(options: argparse.Namespace) -> int:
    """Plant regressions, run identical pairs, and report what the merge gate caught and cried about."""
    from harness.power_judge import as_it_should
    from harness.power_report import save, show
    from harness.power_run import Power, asked, report

    if options.pairs < 0:
        raise InvalidInput(f"--pairs is {options.pairs}; 0 or more are needed")
    cases = asked(options.pairs, options.only)
    if not cases:
        raise InvalidInput("--only pair with --pairs 0: there is nothing to run")
    proof = Power(_store(options))
    found = report(proof, proof.run(cases))
    save(found, options.reports)
    show(found, _CONSOLE, options.reports)
    return 0 if as_it_should(found.cases) else 1


def bench(options: argparse.Namespace) -> int:
    """Measure ours against stock mlx-lm."""
    rounds = options.rounds if options.rounds is not None else {"train": 5, "fuse": 3}[options.what]
    if rounds < 2:
        raise InvalidInput(f"--rounds is {rounds}; an interval needs at least 2")
    if options.what == "fuse":
        from harness.bench_fuse import bench_fuse

        recipes = profile.RECIPES if options.recipe == "both" else (options.recipe,)
        return bench_fuse(_store(options), options.parameters, rounds, recipes, _CONSOLE)
    flow = _trainable(options)
    plan.require_machine(flow)
    from harness.bench import bench_train

    return bench_train(flow, rounds, _CONSOLE)


def prove(options: argparse.Namespace) -> int:
    """Prove on this machine what fusing and judging rest on."""
    if options.what == "interval":
        from harness.coverage import prove_interval

        return prove_interval(_CONSOLE)
    flow = _ready(options)
    plan.require_machine(flow)
    if options.what == "fuse":
        if not (flow.profile.training or flow.profile.adapter):
            raise InvalidInput(f"{flow.located.path}: [training] or [adapter] is missing, so there is nothing to fuse")
        from harness.prove_fuse import prove_fuse

        return prove_fuse(flow, _CONSOLE)
    from harness.prove_recovery import prove_recovery

    return prove_recovery(SurvivalStage(flow), _CONSOLE)


def bfcl(options: argparse.Namespace) -> int:
    """Ask one variant the items of an outside benchmark and report; no score fails."""
    from harness.bfcl import read_benchmark
    from harness.bfcl_report import save, show
    from harness.bfcl_run import default_variant, measure

    flow, benchmark = _ready(options), read_benchmark(options.data, options.items)
    variant = flow.variant(options.variant or default_variant(flow))
    plan.require_machine(flow)
    report = measure(flow, variant, benchmark)
    save(report, options.reports)
    show(report, _CONSOLE, options.reports)
    return 0


def _flow(options: argparse.Namespace) -> Flow:
    return Flow(profile.load(options.profile or profile.DEFAULT), _store(options))


def _ready(options: argparse.Namespace) -> Flow:
    """The flow of a profile whose hub models are on this machine, so that no key changes when they arrive."""
    from harness.external import fetch_hub_models, not_fetched

    flow = _flow(options)
    if not getattr(options, "plan", False) and not_fetched(flow.located):
        plan.require_machine(flow)
        fetch_hub_models(flow.located)
    return flow


def _store(options: argparse.Namespace) -> Store:
    return Store(options.build, _say)


def _say(text: str) -> None:
    _ERRORS.print(text, highlight=False)


def _check(options: argparse.Namespace) -> int:
    from harness import lint, lint_report
    from harness.cases import canonical_cases, read_tools

    located = profile.load(options.profile or profile.DEFAULT)
    tools, corpus = read_tools(located), located.profile.corpus
    asked = tuple(case.query for case in canonical_cases(located, tools))
    found = lint.Options(asked, options.format, None, options.against, options.model, options.max_tokens)
    if options.profile:
        found = found._replace(
            style=options.format or located.profile.prompting.format,
            tools=tools,
            max_tokens=corpus.row_tokens if corpus and options.max_tokens is None else options.max_tokens,
        )
    checked = lint.check(options.check, found)
    lint_report.show(checked, _CONSOLE)
    return 1 if checked.errors else 0


def _trainable(options: argparse.Namespace) -> Flow:
    flow = _ready(options)
    if not flow.profile.training:
        raise InvalidInput(
            f"{flow.located.path}: [training] is missing; this profile brings its adapter or models along"
        )
    return flow


def _ensure(flow: Flow, source: Source) -> Path:
    """Find or build one artefact and say which of the two it was."""
    if not isinstance(source, External) and flow.store.find(source):
        _ERRORS.print(f"found {source.stage} {source.key}", highlight=False)
    return flow.path(source)
