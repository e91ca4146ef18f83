"""The one real run of ``pocket`` that tests in several processes share."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import filelock

from phase8.core.project import ROOT


class PocketRun(NamedTuple):
    """What the run ended with, and where it left what it built and reported: to be copied, never changed."""

    exit_code: int
    said: str
    build: Path
    reports: Path


def harness(*arguments: object) -> subprocess.CompletedProcess[str]:
    """One command of the harness in a process of its own."""
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def pocket_run(root: Path) -> PocketRun:
    """The run below ``root``, made by the first process that asks; the others wait for it."""
    folder = root / "pocket"
    folder.mkdir(exist_ok=True)
    build, reports, said, ended = (folder / name for name in ("build", "reports", "said", "exit_code"))
    with filelock.FileLock(folder / "lock"):
        if not ended.is_file():
            ran = harness("run", "--profile", "pocket", "--build", build, "--reports", reports)
            said.write_text(ran.stdout + ran.stderr, encoding="utf-8")
            ended.write_text(str(ran.returncode), encoding="utf-8")
    return PocketRun(int(ended.read_text(encoding="utf-8")), said.read_text(encoding="utf-8"), build, reports)
