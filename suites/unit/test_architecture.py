"""What may import what: the order of the flow, and who may touch MLX."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from harness.flow import ASKING, FUSING, Flow
from harness.profile import ROOT, load
from harness.store import Store, code_of
from harness.survival_stage import CHECKING, SCORING

# A module imports only what stands before it, inside functions too.
ORDER = [
    "harness",
    "harness.errors",
    "harness.lazily",
    "harness.frozen",
    "harness.atomic",
    "harness.visible",
    "harness.svg",
    "harness.templating",
    "harness.progress",
    "harness.blas",
    "harness.machine",
    "harness.engine",
    "harness.explain",
    "harness.profile",
    "harness.profile_keys",
    "harness.snapshots",
    "harness.schemas",
    "harness.parsing",
    "harness.fusing",
    "harness.model_files",
    "harness.synthetic",
    "harness.formats",
    "harness.conversation",
    "harness.interval",
    "harness.survival_record",
    "harness.ladder_record",
    "harness.audit_record",
    "harness.record",
    "harness.shortfall",
    "harness.rows",
    "harness.same_query",
    "harness.cases",
    "harness.replies",
    "harness.token_numbers",
    "harness.odds",
    "harness.scores",
    "harness.file_hashes",
    "harness.store",
    "harness.weight_files",
    "harness.bfcl",
    "harness.bfcl_scoring",
    "harness.external",
    "harness.tree",
    "harness.find",
    "harness.grep",
    "harness.tools",
    "harness.near",
    "harness.splits",
    "harness.example",
    "harness.topics",
    "harness.pruning",
    "harness.held_back",
    "harness.unseen",
    "harness.dividing",
    "harness.leakage",
    "harness.claims",
    "harness.symbols",
    "harness.python_index",
    "harness.asset_index",
    "harness.sources",
    "harness.roles",
    "harness.phrasings",
    "harness.subject",
    "harness.part_subjects",
    "harness.subjects",
    "harness.direct",
    "harness.mining",
    "harness.corpus",
    "harness.selection",
    "harness.ladder",
    "harness.engine.arrays",
    "harness.engine.cpu",
    "harness.engine.schedule",
    "harness.engine.template",
    "harness.engine.tokenizer",
    "harness.engine.chat",
    "harness.engine.rows",
    "harness.engine.batches",
    "harness.engine.loss",
    "harness.engine.gguf",
    "harness.engine.pocket",
    "harness.engine.models",
    "harness.engine.generate",
    "harness.work",
    "harness.engine.latency",
    "harness.engine.parting",
    "harness.engine.peak",
    "harness.engine.doctor",
    "harness.engine.train",
    "harness.engine.probe",
    "harness.engine.kernels",
    "harness.engine.weights",
    "harness.engine.merge",
    "harness.engine.zero",
    "harness.engine.recipe",
    "harness.engine.shards",
    "harness.engine.recipe_sizes",
    "harness.engine.asked",
    "harness.engine.blocks",
    "harness.engine.onepass",
    "harness.engine.deltas",
    "harness.engine.encoded",
    "harness.engine.arithmetic",
    "harness.engine.quantisers",
    "harness.engine.fused_folder",
    "harness.engine.survey",
    "harness.engine.mismatch",
    "harness.engine.integrity",
    "harness.engine.delta_stats",
    "harness.engine.fuse",
    "harness.engine.plants",
    "harness.engine.synthetic",
    "harness.engine.same_folders",
    "harness.engine.families",
    "harness.engine.losses",
    "harness.engine.evaluate",
    "harness.engine.measured",
    "harness.engine.audited",
    "harness.measured_process",
    "harness.measure",
    "harness.audit",
    "harness.block_record",
    "harness.disturbance",
    "harness.blocks_run",
    "harness.replay",
    "harness.engine.branches",
    "harness.engine.scored_rows",
    "harness.engine.scoring",
    "harness.engine.by_the_book",
    "harness.corpus_record",
    "harness.lint_rows",
    "harness.lint_calls",
    "harness.lint_file",
    "harness.lint",
    "harness.lint_report",
    "harness.integrity_report",
    "harness.card_facts",
    "harness.card",
    "harness.engine.bfcl",
    "harness.corpus_stage",
    "harness.verify",
    "harness.flow",
    "harness.survival_stage",
    "harness.estimate",
    "harness.asking",
    "harness.fitting",
    "harness.plan",
    "harness.bench_worker",
    "harness.bench",
    "harness.stock",
    "harness.bench_fuse",
    "harness.prove_fuse",
    "harness.prove_rounding",
    "harness.stats",
    "harness.block_stats",
    "harness.looks",
    "harness.clustered",
    "harness.coverage",
    "harness.recovery",
    "harness.prove_recovery",
    "harness.rungs",
    "harness.ladder_run",
    "harness.differences",
    "harness.confusion",
    "harness.paired",
    "harness.verdicts",
    "harness.outcome",
    "harness.judge",
    "harness.judge_calls",
    "harness.judge_measured",
    "harness.judge_audit",
    "harness.judge_survival",
    "harness.survival",
    "harness.summary",
    "harness.breakdown",
    "harness.cells",
    "harness.ladder_cells",
    "harness.audit_rows",
    "harness.heatmap",
    "harness.bfcl_run",
    "harness.bfcl_report",
    "harness.compare",
    "harness.charts",
    "harness.runfile",
    "harness.prove_recipe",
    "harness.history_file",
    "harness.history",
    "harness.change_points",
    "harness.history_plot",
    "harness.latency_plot",
    "harness.size_chart",
    "harness.blocks_plot",
    "harness.finding",
    "harness.gate_text",
    "harness.gate_page",
    "harness.terminal",
    "harness.markdown",
    "harness.page",
    "harness.report",
    "harness.job_summary",
    "harness.history_commands",
    "harness.latency_finding",
    "harness.soundness",
    "harness.absence",
    "harness.both",
    "harness.gate_runtime",
    "harness.gate",
    "harness.merged_ladder",
    "harness.merging",
    "harness.merge_stage",
    "harness.against",
    "harness.gate_latency",
    "harness.gate_stage",
    "harness.sharding",
    "harness.power_record",
    "harness.power_judge",
    "harness.power_benchmark",
    "harness.power_site",
    "harness.power_plant",
    "harness.power_weights",
    "harness.power_text",
    "harness.power_engine",
    "harness.power_data",
    "harness.power_history",
    "harness.power_plants",
    "harness.power_clone",
    "harness.power_run",
    "harness.power_report",
    "harness.given",
    "harness.phase8",
    "harness.gate_commands",
    "harness.artefact_commands",
    "harness.data_commands",
    "harness.commands",
    "harness.cli",
    "harness.__main__",
]

LAZY_MLX = "harness/parsing.py"  # one of mlx-lm's parsers, imported when a reply in its format is read
STOCK_MLX = "harness/bench_worker.py"  # a script: its stock side must import MLX as any user of mlx-lm does


def module_name(path: Path) -> str:
    """The dotted name of a file below the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Every module of the harness and its file."""
    return {module_name(path): path for path in sorted((ROOT / "harness").rglob("*.py"))}


def outside_engine() -> list[Path]:
    """Every file but the tests that is not of the engine."""
    folders = ("harness", "fixtures", "suites/phase8")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "engine" not in path.parts] + [ROOT / "conftest.py", ROOT / "noxfile.py"]


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """The modules that import statements name; of ``from a import b`` both ``a`` and ``a.b``."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports here are absolute"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def at_module_level(node: ast.AST) -> Iterator[ast.AST]:
    """What runs on import: no function bodies, nothing for type checkers only."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    checked_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    for child in node.orelse if isinstance(node, ast.If) and checked_only else ast.iter_child_nodes(node):
        yield from at_module_level(child)


@cache
def tree(path: Path) -> ast.AST:
    """A file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


def is_mlx(name: str) -> bool:
    """Whether a dotted name belongs to MLX or mlx-lm."""
    return name.split(".")[0] in ("mlx", "mlx_lm")


def after_running(code: str) -> str:
    """The last line that a fresh process prints."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.strip().splitlines()[-1]


def test_the_order_names_every_module_once() -> None:
    """A new module gets its place in the flow."""
    assert sorted(ORDER) == sorted(modules())


def test_a_module_imports_only_what_stands_before_it() -> None:
    """Data flows one way. Every module that breaks it is named, with what it imports."""
    wrong = {}
    for name, path in modules().items():
        before = ORDER[: ORDER.index(name)] if name in ORDER else []
        wrong[name] = (imported(ast.walk(tree(path))) & modules().keys()) - {"harness"} - set(before)
    assert {name: used for name, used in wrong.items() if used} == {}


def test_the_harness_does_not_know_its_plugin_or_its_suites() -> None:
    """They wire it and assert on it."""
    for name, path in modules().items():
        assert not [
            other for other in imported(ast.walk(tree(path))) if other.split(".")[0] in ("fixtures", "suites")
        ], name


def test_nothing_outside_the_engine_imports_mlx_at_module_level() -> None:
    """Only the engine loads the fast BLAS first."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in outside_engine()
        if any(map(is_mlx, imported(at_module_level(tree(path)))))
    }
    assert found == {STOCK_MLX}


def test_only_one_module_outside_the_engine_imports_mlx_lm_in_a_function() -> None:
    """And it loads the fast BLAS before."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in outside_engine()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and any(map(is_mlx, imported(ast.walk(node))))
    }
    assert found == {LAZY_MLX}


def test_judging_knows_no_files_and_no_clock(subtests: pytest.Subtests) -> None:
    """Results and limits in, verdicts out."""
    judging = ["verdicts", "outcome", "judge", "judge_measured", "judge_survival", "judge_audit", "paired", "survival"]
    for module in [*judging, "finding", "soundness", "absence", "merging"]:
        with subtests.test(module=module):
            used = {name.split(".")[0] for name in imported(ast.walk(tree(modules()[f"harness.{module}"])))}
            assert not used & {"os", "pathlib", "time", "datetime", "random", "subprocess", "json", "io"}


@pytest.mark.parametrize(
    "code",
    [
        "import sys, contextlib\nfrom harness.cli import main\n"
        "with contextlib.suppress(SystemExit):\n    main(['--help'])\n",
        "import sys, pytest\nassert pytest.main(['--collect-only', '-q', 'suites']) == 0\n",
    ],
    ids=["help", "collect-only"],
)
def test_help_and_collection_do_not_import_mlx(code: str) -> None:
    """They answer at once, on any machine; both suites are collected in one session."""
    slow = ("mlx", "mlx_lm", "transformers", "scipy", "matplotlib", "ruptures", "tokenizers", "tree_sitter")
    slow += ("numpy.linalg",)
    ask = f"print([name for name in {slow} if name in sys.modules])"
    assert after_running(code + ask) == "[]"


def test_reading_a_call_in_mlx_lms_format_loads_the_fast_blas_first() -> None:
    """Whichever of our modules imports MLX, it computes with the same BLAS."""
    code = (
        "import sys\nfrom harness.formats import parse_reply\n"
        "sys.modules['mlx_lm'] = None  # importing it raises\n"
        "try:\n    parse_reply('<tool_call><function=x></function></tool_call>', 'qwen3-coder', [])\n"
        "except ImportError:\n    print('harness.engine' in sys.modules)"
    )
    assert after_running(code) == "True"


# Beside what is keyed by itself (profile, machine, libraries) or only carries, names and shows.
_CARRIES = {
    "errors",
    "explain",
    "frozen",
    "lazily",
    "blas",
    "progress",
    "profile",
    "machine",
    "store",
    "file_hashes",
    "external",
    "engine.cpu",
}
_CARRIES |= {"record", "interval", "audit_record", "ladder_record", "survival_record"}


def _deciding(entries: list[str]) -> set[str]:
    """All that some modules import, through others too, but for what only carries values."""
    reached, todo = set[str](), [f"harness.{name}" for name in entries]
    while todo:
        name = todo.pop()
        if name not in reached and name in modules():
            reached.add(name)
            todo += imported(ast.walk(tree(modules()[name])))
    return {name.removeprefix("harness.") for name in reached - {"harness", "harness.engine"}} - _CARRIES


def test_what_decides_a_result_is_in_its_key(subtests: pytest.Subtests) -> None:
    """All that the deciding module imports, through others too: else a commit that breaks it finds old results."""
    for listed, entries in [
        (ASKING, ["engine.evaluate"]),
        (SCORING, ["engine.scoring"]),
        (CHECKING, ["engine.integrity", "engine.delta_stats"]),
        (FUSING, ["engine.fuse"]),
    ]:
        with subtests.test(listed=listed, entries=entries):
            named = {file.removesuffix(".py").replace("/", ".") for file in listed}
            assert sorted(_deciding(entries) - named) == []
            assert sorted(named) == sorted(set(named) & {name.removeprefix("harness.") for name in modules()})


# Steps whose keys hold no code: what decides them, their version, and that code when it was last looked at.
GUARDED = {
    "adapter": (["engine.train", "engine.rows"], 6, "ad048c380a9b2bcf"),
    "base": (["engine.pocket", "corpus_stage"], 12, "085ada084dc338db"),
    "probe": (["engine.probe", "engine.rows"], 2, "3f4d54796b1f19f1"),
    "corpus": (["corpus_stage"], 3, "8bc18a4b83dcb251"),
    "pool": (["corpus_stage"], 2, "8bc18a4b83dcb251"),
}


def test_a_step_without_code_in_its_key_computes_what_its_version_stands_for(subtests: pytest.Subtests) -> None:
    """A harness that is updated must not train a 30 B model anew for a changed docstring.

    Where this fails and the change gives other rows or tensors, raise the step's version in ``flow.py``; then put here
    what is now the code.
    """
    for stage, (entries, version, code) in GUARDED.items():
        with subtests.test(stage=stage):
            step = getattr(Flow(load("pocket"), Store(Path("build"))), stage)
            files = sorted(f"{name.replace('.', '/')}.py" for name in _deciding(entries))
            assert (step.version, code_of(*files)) == (version, code)
