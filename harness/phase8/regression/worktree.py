"""Another commit of this repository: checked out beside it, with the environment that its own pins ask for."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phase8.core.errors import InvalidInput
from phase8.core.git import git
from phase8.core.lazy_imports import filelock
from phase8.core.project import ROOT
from phase8.profile.loading import Located, load
from phase8.profile.profile import Profile
from phase8.profile.sections import FilesCorpus
from phase8.stages.external import outside_names

Say = Callable[[str], None]
_JUDGED = (0, 1, 3)  # exit codes of a run that was judged, whatever was found


class Tree(NamedTuple):
    """A checkout of a commit and the Python that its harness runs with."""

    folder: Path
    python: str
    commit: str

    def profile(self, located: Located) -> str:
        """The profile there: that commit's own, or the very same file where it has none."""
        path = located.path.resolve()
        if path.is_relative_to(ROOT) and (there := self.folder / path.relative_to(ROOT)).is_file():
            return str(there)
        return str(path)


def tree_at(ref: str, located: Located, build: Path, say: Say) -> Tree:
    """A checkout of ``ref``: this one where it is that commit unchanged, else a worktree below ``build``, made once.

    Raises:
        InvalidInput: git does not know ``ref``, or its environment cannot be prepared.
    """
    commit = _commit(ref)
    if commit == _commit("HEAD") and not git(ROOT, "status", "--porcelain", "--untracked-files=no"):
        return Tree(ROOT, sys.executable, commit)
    folder = build.resolve() / "against" / commit[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not _is_whole(folder, commit):
            say(f"checking {ref} out below {folder.parent}")
            shutil.rmtree(folder, ignore_errors=True)
            git(ROOT, "worktree", "prune")
            git(ROOT, "worktree", "add", "--force", "--detach", str(folder), commit)
        tree = Tree(folder, sys.executable, commit)
        _lend(tree, located)
        return tree if _pins(folder) == _pins(ROOT) else tree._replace(python=_environment(tree, located, say))


def _lend(tree: Tree, located: Located) -> None:
    """Let a worktree find what its profile names in this checkout and git does not hold: links where it would be."""
    try:
        profile = load(tree.profile(located)).profile
    except InvalidInput:
        return  # that commit's own harness says what it makes of its profile
    start = Path(tree.profile(located)).parent
    for name in [*outside_names(profile), *_files(profile)]:
        there = Path(os.path.normpath(start / Path(name).expanduser()))
        if not there.is_relative_to(tree.folder) or there.exists():
            continue
        here = ROOT / there.relative_to(tree.folder)
        if here.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)  # a link to what is gone
            there.symlink_to(here, target_is_directory=here.is_dir())


def _files(profile: Profile) -> list[str]:
    """The data files that a profile names."""
    corpus, queries = profile.corpus, profile.queries
    names = [profile.prompting.tools, queries.canonical, queries.probes]
    names += [corpus.test, corpus.train, corpus.valid] if isinstance(corpus, FilesCorpus) else []
    return [name for name in names if name]


def _is_whole(folder: Path, commit: str) -> bool:
    """Whether a worktree is that commit, none of its files changed or gone."""
    if not (folder / ".git").exists():
        return False
    try:
        found = git(folder, "rev-parse", "HEAD"), git(folder, "status", "--porcelain", "-uno")
    except InvalidInput:
        return False
    return found == (commit, "")


def run_there(tree: Tree, located: Located, build: Path, reports: Path, say: Say) -> None:
    """Phase 8 at another commit, cached like any other: what is in ``build`` is not made again.

    Raises:
        InvalidInput: it refused, or wrote no run.
    """
    from phase8.record.files import clear_reports

    say(f"Phase 8 at {tree.commit[:12]}")
    clear_reports(reports)  # of an earlier run there, which this one may not replace
    command = [tree.python, "-m", "harness", "run", "--profile", tree.profile(located)]
    command += ["--build", str(build.resolve()), "--reports", str(reports.resolve())]
    ended = subprocess.run(command, cwd=tree.folder, check=False)
    if ended.returncode not in _JUDGED or not (reports / "run.json").is_file():
        raise InvalidInput(
            f"--against {tree.commit[:12]}: Phase 8 ended there with {ended.returncode} and left no run to compare with"
        )


def works_there(tree: Tree, located: Located, build: Path, variants: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What measuring each variant takes at another commit, built if missing: its artefact's key, and its ``Work``.

    Raises:
        InvalidInput: that commit's harness cannot say.
    """
    command = [
        tree.python,
        "-m",
        "harness",
        "work",
        "--profile",
        tree.profile(located),
        "--build",
        str(build.resolve()),
    ]
    command += [argument for name in variants for argument in ("--variant", name)]
    ran = subprocess.run(command, cwd=tree.folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = ran.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise InvalidInput(f"commit {tree.commit[:12]} cannot say how its variants are measured: {said[0][-400:]}")
    try:
        return json.loads(ran.stdout)
    except ValueError as error:
        said = ran.stdout.strip()[-200:]
        raise InvalidInput(f"commit {tree.commit[:12]} wrote {said!r} instead of what is to be measured") from error


def _commit(ref: str) -> str:
    return git(ROOT, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", told=f"{ref} is no commit of this clone")


def _pins(folder: Path) -> tuple[Any, ...]:
    """What decides which packages are installed."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    pins = (folder / "constraints.txt").read_text(encoding="utf-8")
    return project["project"].get("dependencies"), project.get("dependency-groups"), pins


def _environment(tree: Tree, located: Located, say: Say) -> str:
    """The Python of that commit's own pins, which its noxfile prepares as for any session there."""
    say(f"commit {tree.commit[:12]} has other pins: preparing its environment")
    session = ["-m", "nox", "-s", "phase8", "--", "--profile", tree.profile(located), "--plan"]
    ran = subprocess.run([sys.executable, *session], cwd=tree.folder, capture_output=True, text=True, check=False)
    shared = tree.folder / ".nox" / "shared"
    python = shared / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (shared / "installed").is_file():
        raise InvalidInput(f"the environment of {tree.commit[:12]} cannot be prepared: {ran.stderr.strip()[-800:]}")
    return str(python)
