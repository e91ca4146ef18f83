"""Content-addressed artefacts: ``build/STAGE/KEY/``, found by the hash of their inputs or built.

An artefact is built in ``build/.partial/``, gets its file hashes in a manifest
written last, and is renamed into place; so an interrupted build is never taken
for a finished one. A lock for each key keeps two runs from building the same.
"""

import datetime
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from phase8.core.artefact import MANIFEST, FileEntry, Manifest, Step, digest, faults
from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import NAME as HASHES
from phase8.core.file_hashes import FileHashes, file_sha256
from phase8.core.lazy_imports import filelock
from phase8.core.machine import GB, disk_free_gb

PARTIAL = ".partial"
HISTORY = "history"  # of runs, beside the artefacts
_KEY = re.compile("[0-9a-f]{16}")
_NO_STAGES = frozenset({HISTORY, "against", "plots"})  # what other commands keep below build/


class Store:
    """The artefacts below one folder."""

    def __init__(self, root: Path, announce: Callable[[str], None] = lambda _: None) -> None:
        if root.exists() and not root.is_dir():
            raise InvalidInput(f"{root}: artefacts are kept in a folder, and this is a file")
        self.root = root
        self.announce = announce
        self.hashes = FileHashes(root / HASHES)

    def path(self, step: Step) -> Path:
        """Where the artefact of a step is or will be."""
        return self.root / step.stage / step.key

    def find(self, step: Step) -> Path | None:
        """The finished artefact of a step, or None. Compares names and sizes, not contents."""
        path = self.path(step)
        return path if not faults(path, contents=False) else None

    def content(self, step: Step) -> str:
        """The first 16 hex digits of a hash over the names and contents of a finished artefact's files."""
        manifest = Manifest.model_validate_json((self.path(step) / MANIFEST).read_text(encoding="utf-8"))
        return digest({name: entry.sha256 for name, entry in manifest.files.items()})[:16]

    def ensure(self, step: Step) -> Path:
        """Find the artefact of a step or build it.

        Raises:
            InvalidInput: the disk is too small, or what ``make`` says of its input.
        """
        if found := self.find(step):
            return found
        with filelock.FileLock(self._locks() / f"{step.stage}-{step.key}.lock"):
            return self.find(step) or self._build(step)

    def ensure_all(self, steps: Sequence[Step], make: Callable[[list[tuple[Step, Path]]], None]) -> list[Path]:
        """Find the artefacts of several steps, or build all that are missing with one call of ``make``.

        ``make`` gets each missing step with its empty folder, in the given order, instead of the steps' own
        functions. Locks are taken in the order of their names, so that two runs never wait for each other.

        Raises:
            InvalidInput: the disk is too small, or what ``make`` says of its input.
        """
        if any(self.find(step) is None for step in steps):
            locks = self._locks()
            with ExitStack() as held:
                for name in sorted({f"{step.stage}-{step.key}.lock" for step in steps}):
                    held.enter_context(filelock.FileLock(locks / name))
                missing = {step.key: step for step in steps if self.find(step) is None}
                self._build_all(list(missing.values()), make)
        return [self.path(step) for step in steps]

    def _locks(self) -> Path:
        """The folder of the locks, made by what is about to build; a plan comes by without."""
        self.hashes.keep()
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return locks

    def _build_all(self, steps: list[Step], make: Callable[[list[tuple[Step, Path]]], None]) -> None:
        """Build several steps at once; each is renamed on its own, so a later kill costs only those not yet."""
        if not steps:
            return
        stages = ", ".join(dict.fromkeys(step.stage for step in steps))
        self._require_disk(stages, sum(step.disk_gb for step in steps))
        partials = []
        for step in steps:
            self.announce(f"building {step.stage} {step.key}")
            partials.append(self.root / PARTIAL / f"{step.stage}-{step.key}")
            remove(partials[-1])
            partials[-1].mkdir(parents=True)
        started = time.monotonic()
        try:
            make(list(zip(steps, partials, strict=True)))
            seconds = time.monotonic() - started
            for step, partial in zip(steps, partials, strict=True):
                self._finish(step, partial, seconds)
        except BaseException as error:
            for partial in partials:
                shutil.rmtree(partial, ignore_errors=True)
            self._explain_full_disk(stages, error)
            raise

    def _require_disk(self, stage: str, needed_gb: float) -> None:
        if needed_gb > (free := disk_free_gb(self.root)):
            raise InvalidInput(
                f"{stage}: needs {needed_gb:.1f} GB of disk below {self.root}, {free:.1f} GB are free. "
                "Free space, or run `python -m harness artefacts prune --profile NAME`, naming every profile to keep."
            )

    def _explain_full_disk(self, stage: str, error: BaseException) -> None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise InvalidInput(f"{stage}: the disk below {self.root} is full. Free space and run again.") from error

    def _build(self, step: Step) -> Path:
        self._require_disk(step.stage, step.disk_gb)
        self.announce(f"building {step.stage} {step.key}")
        partial = self.partial(step)
        if not step.resumable or not partial.is_dir():
            remove(partial)
        partial.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            step.make(partial)
            self._finish(step, partial, time.monotonic() - started)
        except BaseException as error:
            if not step.resumable:
                shutil.rmtree(partial, ignore_errors=True)
            self._explain_full_disk(step.stage, error)
            raise
        return self.path(step)

    def _finish(self, step: Step, partial: Path, seconds: float) -> None:
        (partial / MANIFEST).unlink(missing_ok=True)  # of an attempt that was killed before its rename
        files = {
            path.relative_to(partial).as_posix(): FileEntry(size=path.stat().st_size, sha256=file_sha256(path))
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        if not files:
            raise InvalidInput(f"{step.stage}: nothing was built")
        manifest = Manifest(
            stage=step.stage,
            key=step.key,
            inputs=step.inputs,
            files=files,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 2),
        )
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        final = self.path(step)
        final.parent.mkdir(parents=True, exist_ok=True)
        remove(final)
        os.replace(partial, final)

    def artefacts(self) -> Iterator[Path]:
        """Every folder that stands where an artefact should, finished or not: STAGE/KEY, a key being 16 hex digits."""
        stages = (path for path in self.root.glob("[!.]*") if path.is_dir() and path.name not in _NO_STAGES)
        for stage in sorted(stages):
            yield from sorted(path for path in stage.iterdir() if path.is_dir() and _KEY.fullmatch(path.name))

    def partial(self, step: Step) -> Path:
        """Where a step is built, and goes on if it is resumable."""
        return self.root / PARTIAL / f"{step.stage}-{step.key}"

    def verify(self) -> dict[Path, list[str]]:
        """The faults of each artefact, contents re-hashed; an empty list is a sound artefact."""
        return {path: faults(path, contents=True) for path in self.artefacts()}

    def prune(self, keep: set[Path]) -> int:
        """Delete every artefact and abandoned build that is not in ``keep``; the bytes freed."""
        found = [*self.artefacts(), *(self.root / PARTIAL).glob("*")]
        doomed = [path for path in found if path not in keep]
        doomed = [path for path in doomed if path.parent.name != PARTIAL or not self._is_being_built(path.name)]
        freed = sum(size_on_disk(path) for path in doomed)
        for path in doomed:
            remove(path)
        return freed

    @contextmanager
    def workspace(self, prefix: str) -> Generator[Path]:
        """An empty folder for work that is measured, not kept; no prune takes it from a running process."""
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        folder, lock = self.root / PARTIAL / name, self._locks() / f"{name}.lock"
        try:
            with filelock.FileLock(lock):
                folder.mkdir(parents=True)
                try:
                    yield folder
                finally:
                    remove(folder)
        finally:
            lock.unlink(missing_ok=True)  # a name of its own: nobody waits for it

    def _is_being_built(self, name: str) -> bool:
        """Whether a process holds the lock of an unfinished build."""
        (self.root / ".locks").mkdir(exist_ok=True)
        try:
            with filelock.FileLock(self.root / ".locks" / f"{name}.lock", timeout=0):
                return False
        except filelock.Timeout:
            return True


def size_on_disk(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; what goes away meanwhile is not counted."""
    if not path.is_dir():
        return _file_bytes(path)
    names = (os.path.join(parent, name) for parent, _, files in os.walk(path) for name in files)
    return sum(_file_bytes(Path(name)) for name in names)


def _file_bytes(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def remove(path: Path) -> None:
    """Delete a folder with all that is in it, or a file; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def free_gb_needed(parameters: int, bits_per_weight: float) -> float:
    """The GB that a model of so many parameters takes on disk."""
    return parameters * bits_per_weight / 8 / GB
