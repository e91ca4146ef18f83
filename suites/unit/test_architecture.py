"""What may import what: the order of the flow, and who may touch MLX."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from phase8.core.artefact import code_of
from phase8.core.project import ROOT
from phase8.core.store import Store
from phase8.profile.loading import load
from phase8.stages.flow import ASKING, Flow
from phase8.stages.fused import FUSING
from phase8.survival.stage import CHECKING, SCORING

# What each room may import: the rooms named, and itself. What is imported inside functions counts too.
MAY_IMPORT = {
    "core": "",
    "drawing": "core",
    "profile": "core",
    "chat": "profile core",
    "record": "chat profile core",
    "stats": "record core",
    "quant": "record profile core",
    "cases": "record chat profile core",
    "engine": "cases stats quant record chat profile core",
    "measure": "cases stats record profile core",
    "gates": "cases stats record chat profile core",
    "corpus": "engine cases drawing record chat profile core",
    "stages": "corpus engine quant cases record chat profile core",
    "survival": "stages engine gates stats quant cases record profile core",
    "regression": "stages measure gates stats cases record profile core",
    "shards": "survival stages gates record profile core",
    "history": "gates record profile core",
    "report": "history regression survival gates stats drawing record profile core",
    "runner": "report history survival stages measure gates record profile core",
}
WINGS = {"proofs": {"cli"}, "cli": set[str]()}  # they may import every room but those named; no room imports them
PACKAGE = "phase8"
LONGEST = 300  # lines of a module

LAZY_MLX = "harness/phase8/chat/parsing.py"  # one of mlx-lm's parsers, imported when a reply in its format is read
STOCK_MLX = (
    "harness/phase8/proofs/bench/worker.py"  # a script: its stock side must import MLX as any user of mlx-lm does
)


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT / "harness").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Every module of the harness and its file."""
    return {module_name(path): path for path in sorted((ROOT / "harness" / PACKAGE).rglob("*.py"))}


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
def tree(path: Path) -> ast.Module:
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


def room(name: str) -> str:
    """The room of a dotted name: ``core`` of ``phase8.core.errors``; the package itself has none."""
    return name.split(".")[1] if name.count(".") else ""


def test_every_room_is_in_the_table_and_says_what_it_is_for() -> None:
    """A new room gets its arrows; none is left in the table that is gone."""
    rooms = {room(name) for name in modules()} - {"", "__main__"}
    assert rooms == MAY_IMPORT.keys() | WINGS.keys()
    packages = [name for name, path in modules().items() if path.name == "__init__.py"]
    silent = [name for name in packages if not ast.get_docstring(tree(modules()[name]))]
    assert silent == []


def allowed(here: str) -> set[str]:
    """The rooms that a room may import, itself among them."""
    if here in MAY_IMPORT:
        return {here, *MAY_IMPORT[here].split()}
    return {*MAY_IMPORT, *WINGS} - WINGS[here]


def test_the_map_for_contributors_is_the_table() -> None:
    """One row a room: its job is what it says itself, and what it may import stands beside it."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M))
    wanted = {}
    for name in (*MAY_IMPORT, *WINGS):
        job = (ast.get_docstring(tree(modules()[f"{PACKAGE}.{name}"])) or "").partition("\n")[0]
        every = "every room but `cli`" if WINGS.get(name) else "every room"
        wanted[name] = f"{job} | {MAY_IMPORT.get(name, every) or 'no room'}"
    assert rows == wanted


def test_every_file_that_a_document_names_is_there() -> None:
    """From the top or from the package; a name alone belongs to the folder that was named last."""
    for document in ("CONTRIBUTING.md", "docs/proofs.md", "docs/gate.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        named = re.findall(r"`([\w/]+/[\w.]+\.(?:py|j2|js))`", text)
        assert named, document
        for name in named:
            assert any((root / name).is_file() for root in (ROOT, ROOT / "harness" / PACKAGE)), f"{document}: {name}"


def test_a_room_imports_only_what_the_table_allows() -> None:
    """Data flows one way. Every import that breaks it is named, with the rule."""
    broken = []
    for name, path in modules().items():
        here = room(name)
        if here in ("", "__main__"):
            continue
        rule = f"{here} may import {MAY_IMPORT.get(here, 'all but ' + ', '.join(WINGS.get(here, ()))) or 'no room'}"
        used = sorted(imported(ast.walk(tree(path))) & modules().keys())
        broken += [f"{name} imports {other}: {rule}" for other in used if room(other) not in {"", *allowed(here)}]
    assert broken == []


def test_the_table_has_no_way_back() -> None:
    """If one room may import another, the other may not reach the first again."""
    names = list(MAY_IMPORT)
    for here, allowed in MAY_IMPORT.items():
        assert not set(allowed.split()) - set(names), here
    done: set[str] = set()
    while len(done) < len(names):
        ready = {here for here in names if here not in done and set(MAY_IMPORT[here].split()) <= done}
        assert ready, f"these rooms import each other in a circle: {sorted(set(names) - done)}"
        done |= ready


def test_modules_import_each_other_in_no_circle() -> None:
    """Inside a room too, and inside functions: what a module needs stands before it."""
    named = {name for name, path in modules().items() if path.name != "__init__.py"}
    graph = {name: imported(ast.walk(tree(modules()[name]))) & named - {name} for name in named}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these modules import each other in a circle: {' -> '.join(error.args[1])}")


def test_no_module_is_longer_than_300_lines() -> None:
    """What is longer has two jobs."""
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


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
    pure = [name for name in modules() if room(name) == "gates"]
    pure += [f"{PACKAGE}.{name}" for name in ("survival.answer", "regression.findings", "regression.validity")]
    for module in [*pure, f"{PACKAGE}.regression.completeness", f"{PACKAGE}.shards.join"]:
        with subtests.test(module=module):
            used = {name.split(".")[0] for name in imported(ast.walk(tree(modules()[module])))}
            assert not used & {"os", "pathlib", "time", "datetime", "random", "subprocess", "json", "io"}


@pytest.mark.parametrize(
    "code",
    [
        "import sys, contextlib\nfrom phase8.cli.main import main\n"
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
        "import sys\nfrom phase8.chat.formats import parse_reply\n"
        "sys.modules['mlx_lm'] = None  # importing it raises\n"
        "try:\n    parse_reply('<tool_call><function=x></function></tool_call>', 'qwen3-coder', [])\n"
        "except ImportError:\n    print('phase8.engine' in sys.modules)"
    )
    assert after_running(code) == "True"


# Beside what is keyed by itself (profile, machine, libraries) or only carries, names and shows.
_CARRIES = {
    *(f"core.{name}" for name in ("errors", "values", "interval", "lazy_imports", "blas", "progress", "project")),
    *(f"core.{name}" for name in ("file_hashes", "folder_key", "machine", "store")),
    *(f"record.{name}" for name in ("audit", "integrity", "ladder", "run")),
    *(f"profile.{name}" for name in ("errors", "limits", "loading", "profile", "sections", "terms")),
    *("core.artefact", "stages.external", "engine.cpu"),
}


def _deciding(entries: list[str]) -> set[str]:
    """All that some modules import, through others too, but for what only carries values."""
    reached, todo = set[str](), [f"{PACKAGE}.{name}" for name in entries]
    while todo:
        name = todo.pop()
        if name not in reached and name in modules():
            reached.add(name)
            todo += imported(ast.walk(tree(modules()[name])))
    return {name.removeprefix(f"{PACKAGE}.") for name in reached if modules()[name].name != "__init__.py"} - _CARRIES


def test_what_decides_a_result_is_in_its_key(subtests: pytest.Subtests) -> None:
    """All that the deciding module imports, through others too: else a commit that breaks it finds old results."""
    for listed, entries in [
        (ASKING, ["engine.generate.replies"]),
        (SCORING, ["engine.score.score"]),
        (CHECKING, ["engine.integrity.check", "engine.integrity.delta_stats"]),
        (FUSING, ["engine.fuse.fuse"]),
    ]:
        with subtests.test(listed=listed, entries=entries):
            named = {file.removesuffix(".py").replace("/", ".") for file in listed}
            assert sorted(_deciding(entries) - named) == []
            assert sorted(named) == sorted(set(named) & {name.removeprefix(f"{PACKAGE}.") for name in modules()})


# Steps whose keys hold no code: what decides them, their version, and that code when it was last looked at.
GUARDED = {
    "adapter": (["engine.train.lora", "engine.load.rows"], 6, "4a3a95b26b1b8f6f"),
    "base": (["engine.train.pocket", "corpus.stage"], 13, "3cb2e4b002121fa6"),
    "probe": (["engine.train.trainability", "engine.load.rows"], 2, "08f7dd3c9d295f95"),
    "corpus": (["corpus.stage"], 3, "4787f392d2174675"),
    "pool": (["corpus.stage"], 2, "4787f392d2174675"),
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
