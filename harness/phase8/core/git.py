"""What git says of a folder."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT


def git(folder: Path, *arguments: str, told: str = "", settings: Sequence[str] = ()) -> str:
    """What git prints, run in a folder with ``settings`` (``name=value``) of its own.

    Raises:
        InvalidInput: git failed, or there is none; ``told`` says what that means here.
    """
    command = ["git", *(part for one in settings for part in ("-c", one)), "-C", str(folder), *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InvalidInput(f"git cannot be run: {error}") from error
    if ran.returncode:
        raise InvalidInput(told or f"git {arguments[0]} in {folder}: {ran.stderr.strip()[-300:]}")
    return ran.stdout.strip("\n")


def commit() -> tuple[str | None, bool | None]:
    """The commit of this checkout and whether it has uncommitted changes; None outside git."""
    try:
        return git(ROOT, "rev-parse", "HEAD"), bool(git(ROOT, "status", "--porcelain"))
    except InvalidInput:
        return None, None
