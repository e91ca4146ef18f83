"""Snapshots of tool calls: where each file lies, its text, what changed, and the command that accepts today's calls."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phase8.core.errors import InvalidInput
from phase8.core.machine import lane
from phase8.core.project import ROOT
from phase8.profile.loading import PROFILES, Located

SNAPSHOTS = ROOT / "suites" / "phase8" / "__snapshots__"
_USUAL = {"build": ROOT / "build", "reports": ROOT / "reports" / "latest", "snapshots": SNAPSHOTS}


def folder_of(root: Path, profile: str, variant: str) -> Path:
    """Where a variant's snapshot lies below ``root``: a folder a profile, a machine and a variant."""
    return root / profile / lane(profile).removeprefix(f"{profile}--") / variant


def lane_has_others(file: Path) -> bool:
    """Whether another variant of the same lane has a snapshot."""
    return any(file.parent.parent.glob(f"*/{file.name}"))


def text(calls: Mapping[str, Any]) -> str:
    """The calls of each query as JSON that a person can read and git can diff; ASCII, so that nothing hides in it."""
    return json.dumps(calls, indent=2, sort_keys=True) + "\n"


def read(file: Path) -> dict[str, Any] | None:
    """The recorded calls of each query; None where there is no file.

    Raises:
        InvalidInput: it cannot be read, or holds no JSON object.
    """
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file}: not JSON: {error}") from error
    if not isinstance(recorded, dict):
        raise InvalidInput(f"{file}: expected an object, found {type(recorded).__name__}")
    return recorded


def changes(before: Mapping[str, Any], calls: Mapping[str, Any]) -> dict[str, str]:
    """What was recorded and what is called now, of each query that differs; compared as JSON, where true is not 1."""
    return {
        case: f"was {was}, is {now}"
        for case in sorted(before.keys() | calls.keys())
        if (was := _shown(before, case)) != (now := _shown(calls, case))
    }


def _shown(calls: Mapping[str, Any], case: str) -> str:
    return json.dumps(calls[case], sort_keys=True) if case in calls else "not there"


class Places(NamedTuple):
    """The folders that a session was given, where it was given others than the usual ones."""

    build: Path | None = None
    reports: Path | None = None
    snapshots: Path | None = None


def accept_command(located: Located, variants: Sequence[str], places: Places) -> str:
    """The command, to be run in the checkout, that accepts today's calls of these variants; of all where none is named.

    It names what it must to judge the same models and to write where they are compared: a profile outside
    ``data/profiles/`` by its path, and the session's own folders.
    """
    shipped = located.path.parent == PROFILES
    command = [from_checkout(Path(sys.executable)), "-m", "pytest", "suites/phase8"]
    command += ["--profile", located.path.stem if shipped else from_checkout(located.path)]
    command += [argument for name in variants for argument in ("--variant", name)]
    for name, folder in places._asdict().items():
        command += [f"--{name}", from_checkout(folder)] if folder and folder.absolute() != _USUAL.get(name) else []
    return f"`{shlex.join([*command, '--snapshot-update'])}`"


def from_checkout(path: Path) -> str:
    """A path as it is named by who stands in the checkout: short where it lies inside."""
    whole = path.absolute()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else str(whole)
