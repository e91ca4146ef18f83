"""One artefact: the step that it is made by, its key, and its manifest, which says whether it is whole."""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from phase8.core.file_hashes import file_sha256
from phase8.core.project import PACKAGE
from phase8.core.values import Frozen

MANIFEST = "manifest.json"


class FileEntry(Frozen):
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


class Manifest(Frozen):
    """What an artefact was made from and consists of."""

    stage: str
    key: str
    inputs: dict[str, Any]
    files: dict[str, FileEntry]
    created: str
    seconds: float


@dataclass(frozen=True)
class Step:
    """One artefact to be: its stage, what it is made from, and how.

    ``inputs`` must be JSON and hold everything that can change the result; ``make``
    writes into the empty folder it is given. A resumable step gets back what an
    interrupted attempt left there.
    """

    stage: str
    version: int
    inputs: dict[str, Any]
    make: Callable[[Path], None] = field(compare=False)
    disk_gb: float = 0.0
    note: str = field(default="", compare=False)
    resumable: bool = False

    @property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of stage, version and inputs."""
        return digest({"stage": self.stage, "version": self.version, "inputs": self.inputs})[:16]


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@functools.cache
def code_of(*modules: str) -> str:
    """A hash of some of our own source files, given below the package: for work whose result they decide."""
    return digest([file_sha256(PACKAGE / module) for module in modules])[:16]


def read_manifest(artefact: Path) -> Manifest:
    """The manifest of a finished artefact."""
    return Manifest.model_validate_json((artefact / MANIFEST).read_text(encoding="utf-8"))


def faults(artefact: Path, *, contents: bool) -> list[str]:
    """Why an artefact is not what was built, a line each; its contents are read only where ``contents`` says so."""
    try:
        manifest = read_manifest(artefact)
    except (FileNotFoundError, NotADirectoryError):
        return ["no manifest"]
    except (OSError, ValidationError, UnicodeDecodeError):
        return ["unreadable manifest"]
    if (manifest.stage, manifest.key) != (artefact.parent.name, artefact.name):
        return [f"its manifest is that of {manifest.stage} {manifest.key}"]
    if not manifest.files:
        return ["its manifest names no files"]
    wrong = []
    for name, entry in manifest.files.items():
        path = artefact / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != entry.size:
            wrong.append(f"{name} has {path.stat().st_size} bytes, not {entry.size}")
        elif contents and file_sha256(path) != entry.sha256:
            wrong.append(f"{name} has other contents than when it was built")
    return wrong
