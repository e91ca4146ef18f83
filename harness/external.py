"""Folders that were made elsewhere: a local model or adapter, or a model on a hub."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import InvalidInput
from harness.profile import ROOT, Located
from harness.store import file_sha256

_HASHES = ROOT / "build" / "file-hashes.json"
_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_PARTS = {".safetensors", ".json", ".jinja", ".model", ".tiktoken", ".txt"}  # .txt: a tokenizer's merges and vocabulary


@dataclass(frozen=True)
class External:
    """A folder and the hash of its contents."""

    name: str
    key: str
    path: Callable[[], Path] = field(compare=False)


def external_folder(located: Located, name: str) -> External:
    """A folder beside the profile, or a hub id where no such folder exists.

    Raises:
        InvalidInput: neither a folder nor something that looks like ``owner/model``.
    """
    folder = located.resolve(name)
    if folder.is_dir():
        return External(name, folder_key(folder), lambda: folder)
    if not _HUB_ID.fullmatch(name):
        raise InvalidInput(f"{located.path}: {name!r}: no such folder ({folder}), and not a hub id like owner/model")
    return External(name, f"hub-{hashlib.sha256(name.encode()).hexdigest()[:12]}", lambda: _download(name))


def folder_key(folder: Path) -> str:
    """The first 16 hex digits of a hash over names and contents of a folder's files.

    Hashes of large files are remembered by size and modification time, so that a second run reads no weights.
    """
    known = json.loads(_HASHES.read_text(encoding="utf-8")) if _HASHES.is_file() else {}
    parts, fresh = [], False
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _PARTS):
        stat = path.stat()
        stamp = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
        if stamp not in known:
            known[stamp], fresh = file_sha256(path), True
        parts.append(f"{path.name}:{known[stamp]}")
    if fresh:
        _HASHES.parent.mkdir(parents=True, exist_ok=True)
        temporary = _HASHES.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        os.replace(temporary, _HASHES)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=[
                    "*.json",
                    "model*.safetensors",
                    "adapters.safetensors",
                    "*.jinja",
                    "*.txt",
                    "*.tiktoken",
                    "tokenizer.model",
                ],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InvalidInput(f"{name}: not on this machine and not to be had from the hub: {error}") from error
