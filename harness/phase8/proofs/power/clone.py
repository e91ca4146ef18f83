"""The scratch clone that regressions are planted in: a profile and models, an accepted baseline, the real gate."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from phase8.core.errors import InvalidInput
from phase8.core.git import git
from phase8.core.project import ROOT
from phase8.history.file import read_benchmarks
from phase8.record.files import NAME
from phase8.regression.findings import GateReport

FOLDER = "power"  # in the clone: profile, models, held-out rows
_READY = "ready"
_TAG = "power-accepted"
_AUTHOR = ("user.name=power", "user.email=power@localhost", "commit.gpgsign=false")
_SECONDS = 900  # a gate run that takes longer hangs


class Gated(NamedTuple):
    """What one run of the gate left behind; no report where it refused to run."""

    exit_code: int
    said: str
    report: GateReport | None
    benchmarks: dict[str, Any]
    seconds: float


class Clone:
    """A clone of this checkout below ``root``, with a store and reports of its own beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.repo = self.root / "repo"
        self.folder = self.repo / FOLDER
        self.store = self.root / "store"
        self.reports = self.root / "reports"
        self.history = self.repo / "reports" / "history"

    @property
    def ready(self) -> bool:
        """Whether an earlier call has accepted a baseline here."""
        return (self.root / _READY).is_file()

    @property
    def profile(self) -> Path:
        """The profile that is gated."""
        return self.folder / "power.toml"

    def make(self) -> None:
        """An empty beginning: the checkout's HEAD, cloned; what an interrupted attempt left goes."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        git(self.root, "clone", "--quiet", "--shared", str(ROOT), str(self.repo))
        git(self.repo, "checkout", "--quiet", "--detach", git(ROOT, "rev-parse", "HEAD"))

    def accept(self) -> None:
        """Commit what stands in the clone, run Phase 8, accept the run as baseline, and commit that.

        Raises:
            InvalidInput: Phase 8 did not pass, or its run cannot be a baseline.
        """
        self.commit("Profile and models of the proof of power")
        self._harness("run", "--profile", str(self.profile), "--build", str(self.store), "--reports", str(self.reports))
        reason = ["--reason", "the unchanged side of every pair", "--build", str(self.store)]
        self._harness("history", "accept", str(self.reports), *reason, "--history", str(self.history))
        self.commit("Accept the baseline")
        git(self.repo, "tag", "--force", _TAG, settings=_AUTHOR)
        (self.root / _READY).write_text(git(self.repo, "rev-parse", "HEAD"), encoding="utf-8")

    def reset(self) -> None:
        """Back to the accepted state, whatever a plant or an interruption left."""
        git(self.repo, "reset", "--quiet", "--hard", _TAG)
        git(self.repo, "clean", "--quiet", "-fd")

    def commit(self, text: str) -> None:
        """Commit every change in the clone; the gate judges commits."""
        git(self.repo, "add", "--all")
        git(self.repo, "commit", "--quiet", "--no-verify", "--message", text, settings=_AUTHOR)

    def gate(self) -> Gated:
        """Run the merge gate as a person does, in a process of its own.

        Raises:
            InvalidInput: it hangs.
        """
        shutil.rmtree(self.reports, ignore_errors=True)
        command = ["gate", "--profile", str(self.profile), "--build", str(self.store)]
        start = time.monotonic()
        ran = self._run(*command, "--history", str(self.history), "--reports", str(self.reports))
        seconds, found = time.monotonic() - start, self.reports / "gate.json"
        report = GateReport.model_validate_json(found.read_bytes()) if found.is_file() else None
        return Gated(ran.returncode, ran.stderr, report, read_benchmarks(self.reports), seconds)

    def baseline(self) -> Path:
        """The history file that was accepted.

        Raises:
            InvalidInput: there is not exactly one.
        """
        found = sorted(self.history.glob("*/*.json"))
        if len(found) != 1:
            raise InvalidInput(f"{self.history}: {len(found)} accepted runs, one wanted. Delete {self.root}, run again")
        return found[0]

    def _harness(self, *arguments: str) -> None:
        ran = self._run(*arguments)
        if ran.returncode:
            verdict = self.reports / NAME
            told = ran.stderr.strip()[-600:] or ran.stdout.strip()[-600:]
            raise InvalidInput(
                f"power: `harness {arguments[0]}` ended with {ran.returncode} in {self.repo}: {told} "
                f"(look at {verdict.parent})"
            )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command of the clone's harness, in its own process group's ears: Ctrl-C ends it too."""
        outside = {
            name: value for name, value in os.environ.items() if name not in ("GITHUB_STEP_SUMMARY", "PYTHONPATH")
        }
        try:
            return subprocess.run(
                [sys.executable, "-m", "harness", *arguments],
                cwd=self.repo,
                env=outside,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise InvalidInput(f"power: `harness {arguments[0]}` has not ended after {_SECONDS} s") from error


def require_clean() -> str:
    """The commit of this checkout, which is what is cloned.

    Raises:
        InvalidInput: no git checkout, or one with uncommitted changes, which a clone would not have.
    """
    if changed := git(ROOT, "status", "--porcelain").splitlines():
        named = ", ".join(line[3:] for line in changed[:5])
        raise InvalidInput(f"power: uncommitted changes would not be in the clone it plants in: {named}. Commit them")
    return git(ROOT, "rev-parse", "HEAD")
