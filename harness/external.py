"""Folders that were made elsewhere: a local model or adapter, or a model on a hub."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.errors import InvalidInput
from harness.profile import ROOT, Located, ModelBase, Profile
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

    A hub model is keyed by its name and by the commit that is in the hub's cache; before the first download there
    is none, and the key, good for a plan only, is that of the name alone.

    Raises:
        InvalidInput: neither a folder nor something that looks like ``owner/model``.
    """
    folder = located.resolve(name)
    if folder.is_dir():
        return External(name, folder_key(folder), lambda: folder)
    if not _HUB_ID.fullmatch(name):
        raise InvalidInput(f"{located.path}: {name!r}: no such folder ({folder}), and not a hub id like owner/model")
    commit = _cached_commit(name)
    named = f"{name}@{commit}" if commit else name
    return External(name, f"hub-{hashlib.sha256(named.encode()).hexdigest()[:12]}", lambda: _download(name, commit))


def outside_names(profile: Profile) -> list[str]:
    """The folders and hub ids that a profile names, each once."""
    names = [model.path for model in profile.models]
    names += [profile.base.model] if isinstance(profile.base, ModelBase) else []
    names += [profile.adapter.path] if profile.adapter else []
    return list(dict.fromkeys(names))


def not_fetched(located: Located) -> list[str]:
    """What a profile names of a hub and this machine has not."""
    names = outside_names(located.profile)
    outside = [n for n in names if _HUB_ID.fullmatch(n) and not located.resolve(n).is_dir()]
    return [name for name in outside if _cached_commit(name) is None]


def fetch_hub_models(located: Located) -> None:
    """Download what is not fetched: then every key holds a commit, as in the next run, and nothing is trained twice.

    Raises:
        InvalidInput: a model cannot be had, or its commit is not known.
    """
    for name in not_fetched(located):
        _download(name, None)
        _cached_commit.cache_clear()
        if _cached_commit(name) is None:
            raise InvalidInput(f"{name}: the hub's cache does not say which commit was downloaded. Use a local folder")


def folder_key(folder: Path) -> str:
    """The first 16 hex digits of a hash over names and contents of a folder's files.

    Hashes of large files are remembered by inode, size and both times of change (a copy may keep the time of its
    source, never that of its own inode), so that a second run reads no weights.
    """
    known = _remembered()
    parts, fresh = [], False
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _PARTS):
        stat = path.stat()
        stamp = f"{path}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
        if stamp not in known:
            known[stamp], fresh = file_sha256(path), True
        parts.append(f"{path.name}:{known[stamp]}")
    if fresh:
        _HASHES.parent.mkdir(parents=True, exist_ok=True)
        temporary = _HASHES.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        os.replace(temporary, _HASHES)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _remembered() -> dict[str, str]:
    """The hashes of an earlier look; none where their file is damaged, as they can be had again."""
    try:
        known = json.loads(_HASHES.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) and all(isinstance(found, str) for found in known.values()) else {}


@cache  # one run keeps its keys, though a download may come in between
def _cached_commit(name: str) -> str | None:
    """The commit of a model's main branch in the hub's cache, if a snapshot of it is there.

    Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    main = folder / "refs" / "main"
    commit = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    return commit if commit and (folder / "snapshots" / commit).is_dir() else None


def _download(name: str, commit: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name,
                revision=commit,
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
