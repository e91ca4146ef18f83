"""What a folder that was made elsewhere is known by: a hash of its contents."""

import hashlib
from pathlib import Path

from phase8.core.file_hashes import FileHashes
from phase8.core.model_files import taken_over

_PARTS = {".safetensors", ".json", ".jinja", ".model", ".tiktoken", ".txt"}  # beside what a fused folder takes over


def folder_key(folder: Path, hashes: FileHashes | None = None) -> str:
    """The first 16 hex digits of a hash over names and contents of a folder's files.

    They are its weights, its settings and all that a fused folder takes over. ``hashes`` knows those of large files.
    """
    hashes = hashes or FileHashes()
    names = {path.relative_to(folder) for path in folder.iterdir() if path.is_file() and path.suffix in _PARTS}
    parts = [f"{name.as_posix()}:{hashes.of(folder / name)}" for name in sorted({*names, *taken_over(folder)})]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
