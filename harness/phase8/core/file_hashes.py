"""Hashes of files, remembered in the build folder so that a second run reads no weights.

They are written by what builds, never by what only looks: a plan leaves every folder as it was.
"""

import hashlib
import json
import os
from pathlib import Path

NAME = ".file-hashes.json"


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class FileHashes:
    """SHA-256 of files by place, inode, size and both times of change.

    A copy may keep the time of its source, never that of its own inode. Without a file to remember them in, hashes
    are known to this object alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, str] | None = None
        self._fresh, self._keeping = False, False

    def of(self, path: Path) -> str:
        """The SHA-256 of a file, read only where it is not known."""
        stat = path.stat()
        stamp = f"{path}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
        if self._known is None:
            self._known = self._remembered()
        if stamp not in self._known:
            self._known[stamp], self._fresh = file_sha256(path), True
            self._write()
        return self._known[stamp]

    def keep(self) -> None:
        """From here on something is built: remember what is known, and what will be."""
        self._keeping = True
        self._write()

    def _write(self) -> None:
        if not (self._keeping and self._fresh and self._path):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(self._remembered() | (self._known or {})), encoding="utf-8")
        os.replace(temporary, self._path)
        self._fresh = False

    def _remembered(self) -> dict[str, str]:
        """The hashes of an earlier look; none where their file is damaged, as they can be had again."""
        try:
            known = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) and all(isinstance(found, str) for found in known.values()) else {}
