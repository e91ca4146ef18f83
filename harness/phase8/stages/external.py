"""Folders that were made elsewhere: a local model or adapter, or a model on a hub."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import FileHashes
from phase8.core.folder_key import folder_key
from phase8.profile.loading import Located
from phase8.profile.profile import Profile
from phase8.profile.sections import ModelBase

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class External:
    """A folder and the hash of its contents."""

    name: str
    key: str
    path: Callable[[], Path] = field(compare=False)


def external_folder(located: Located, name: str, hashes: FileHashes | None = None) -> External:
    """A folder beside the profile, or a hub id where no such folder exists.

    A hub model is keyed by its name and by the commit that is in the hub's cache; before the first download there
    is none, and the key, good for a plan only, is that of the name alone.

    Raises:
        InvalidInput: neither a folder nor something that looks like ``owner/model``.
    """
    folder = located.resolve(name)
    if folder.is_dir():
        return External(name, folder_key(folder, hashes), lambda: folder)
    if not _HUB_ID.fullmatch(name):
        raise InvalidInput(f"{located.path}: {name!r}: no such folder ({folder}), and not a hub id like owner/model")
    commit = _cached_commit(name)
    named = f"{name}@{commit}" if commit else name
    return External(name, f"hub-{hashlib.sha256(named.encode()).hexdigest()[:12]}", lambda: _download(name, commit))


def local_folder(located: Located, name: str) -> Path | None:
    """A model's folder, or the snapshot of it in the hub's cache; None where it is not on this machine."""
    folder = located.resolve(name)
    if folder.is_dir():
        return folder
    commit = _cached_commit(name) if _HUB_ID.fullmatch(name) else None
    return _cache(name) / "snapshots" / commit if commit else None


def hub_cache() -> Path:
    """Where downloads of hub models go."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


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


@cache  # one run keeps its keys, though a download may come in between
def _cached_commit(name: str) -> str | None:
    """The commit of a model's main branch in the hub's cache, if a snapshot of it is there.

    Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    folder = _cache(name)
    main = folder / "refs" / "main"
    commit = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    return commit if commit and (folder / "snapshots" / commit).is_dir() else None


def _cache(name: str) -> Path:
    return hub_cache() / f"models--{name.replace('/', '--')}"


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
                    "*.model",
                    "*.spm",
                ],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InvalidInput(f"{name}: not on this machine and not to be had from the hub: {error}") from error
