"""A copy of this checkout for tests of commands that write into the checkout they are run in."""

import shutil
from pathlib import Path

from phase8.core.project import ROOT

_FOLDERS = ("harness", "fixtures", "suites", "data", "docs", "ci", ".ci", ".github")
_FILES = ("pyproject.toml", "conftest.py", "noxfile.py", "constraints.txt", ".gitignore", "LICENSE")
_FILES += ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def checkout(folder: Path) -> Path:
    """The checkout as it is now, without what is built, reported and recorded; its ``.nox`` is this one's."""
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__snapshots__"))
    for name in _FILES:
        shutil.copy2(ROOT / name, folder / name)
    if (ROOT / ".nox").is_dir():
        (folder / ".nox").symlink_to((ROOT / ".nox").resolve())
    return folder
