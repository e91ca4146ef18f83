"""A clone of this checkout in which the commands of the documents are run, and what they need there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from phase8.core.project import ROOT
from phase8.core.store import Store
from phase8.profile.loading import load
from phase8.stages.flow import Flow
from suites.readme.table import Command
from suites.unit import scratch

_GIT = ["git", "-c", "user.name=readme", "-c", "user.email=readme@localhost", "-c", "commit.gpgsign=false"]
_CHANGES = {  # to the README's own profile: pocket's format, less to time, and no model whose gates could fail
    'format = "hermes"': 'format = "fenced"',
    "max_tokens = 256": "max_tokens = 64",
    'role = "production"': 'role = "candidate"',
}
_LESS = "\n[latency]\nrounds = 2\n"
_ROWS = 8  # held-out rows of the own profile
_SESSION = re.compile(r'\.venv/bin/nox -s ("[^"]+"|\w+)')
_OWN = {  # words of the documents, and what stands for them in the clone
    "path/to/mine.toml": "mine/mine.toml",
    "RUN.json": "reports/latest/run.json",
    "RUN RUN": "reports/latest reports/latest",
    "PROFILE": "mine/mine.toml",
    "FOLDER --base BASE --adapter ADAPTER": "models/mine-5bit --base models/base --adapter adapters",
}


class Ran(NamedTuple):
    """What a command ended with."""

    exit_code: int
    said: str
    seconds: float


class Site:
    """A clean clone with an environment, and with models where the documents have somebody's own.

    ``build`` is a store that holds pocket whole, ``nox`` the environment that has nox; without ``build`` the clone is
    as it comes: no environment, no models.
    """

    def __init__(self, root: Path, build: Path | None = None, nox: Path | None = None) -> None:
        self.root = scratch.checkout(root)
        if build:
            shutil.copytree(build, self.root / "build", symlinks=True)
            self._own_models()
        else:
            (self.root / ".nox").unlink(missing_ok=True)
        if nox:
            (self.root / ".venv").symlink_to(nox)
        self._git("init", "--quiet")
        excluded = "/models/\n/adapters\n/*.jsonl\n/.nox\n/.venv\n"
        (self.root / ".git" / "info" / "exclude").write_text(excluded, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "The checkout")

    def _own_models(self) -> None:
        """Pocket's folders and rows where the README's own profile has them."""
        flow = Flow(load("pocket"), Store(self.root / "build"))
        mine, models = self.root / "mine", self.root / "models"
        for folder in (mine / "models", models):
            folder.mkdir(parents=True)
            for name, variant in (("mine-5bit", "fused-5bit"), ("mine-4bit", "fused-4bit"), ("base", "base")):
                (folder / name).symlink_to(flow.path(flow.variant(variant).folder))
        (self.root / "adapters").symlink_to(flow.path(flow.adapter))
        rows = (flow.path(flow.corpus) / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        for folder in (self.root, mine):
            (folder / "held-out.jsonl").write_text("".join(rows[:_ROWS]), encoding="utf-8")
        shutil.copy(flow.path(flow.corpus) / "train.jsonl", self.root / "train.jsonl")
        shutil.copy(ROOT / "data" / "cases" / "tools.json", mine / "my-tools.json")
        shutil.copy(ROOT / "data" / "cases" / "canonical.jsonl", mine / "my-queries.jsonl")
        toml = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
        for old, new in _CHANGES.items():
            assert toml.count(old) == 1, old
            toml = toml.replace(old, new)
        (mine / "mine.toml").write_text(toml + _LESS, encoding="utf-8")

    def run(self, command: Command, *, as_written: bool = False) -> Ran:
        """Run a command in the clone: as it is written, or with this process's Python and without nox itself."""
        line = self.line(command) if as_written else self.quick_line(command)
        line += f" && {command.then}" if command.then else ""
        environment = os.environ | {
            "GIT_EDITOR": "echo A baseline >",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **{f"GIT_{who}_{what}": "readme" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        environment.pop("GITHUB_STEP_SUMMARY", None)
        started = time.monotonic()
        ran = subprocess.run(
            line,
            shell=True,
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout + ran.stderr, time.monotonic() - started)

    def line(self, command: Command) -> str:
        """The command with its words for somebody's own files replaced, and the short names of programs."""
        text = command.text
        for word, instead in _OWN.items():
            text = text.replace(word, instead)
        text = re.sub(r"^harness ", ".nox/shared/bin/python -m harness ", text)
        return re.sub(r"^nox ", ".venv/bin/nox ", text)

    def quick_line(self, command: Command) -> str:
        """The same on pocket, in this process's environment: nothing is installed, nothing trained."""
        python = shlex.quote(sys.executable)
        text = self.line(command) + command.pocket
        text = _SESSION.sub(rf"{python} -m suites.readme.session \1", text)
        return re.sub(r"^\.nox/shared/bin/python\b", python, re.sub(r"^\.venv/bin/nox ", f"{python} -m nox ", text))

    def faults(self, command: Command, ran: Ran, began: float) -> list[str]:
        """What the command did otherwise than the documents say."""
        found = [] if ran.exit_code in command.exits else [f"exit code {ran.exit_code}, not {command.exits}"]
        if command.says not in ran.said:
            found.append(f"{command.says!r} is not in what it says")
        new = [path for path in self.root.glob(command.leaves or "-") if path.stat().st_mtime >= began]
        return found + ([f"it leaves no new {command.leaves}"] if command.leaves and not new else [])

    def _git(self, *arguments: str) -> None:
        subprocess.run([*_GIT, "-C", str(self.root), *arguments], check=True, capture_output=True)
