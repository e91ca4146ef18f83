"""``run.json`` and the folder it lies in: reading, writing, and its JSON schema."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from phase8.core.errors import InvalidInput
from phase8.core.files import write_text
from phase8.record.run import SCHEMA_VERSION, RunRecord, VerdictFile

BENCHMARKS = "benchmark.json"
_WRITTEN = ("run.json", "verdict.json", "report.md", "report.html", "junit.xml", BENCHMARKS)
REPORTS = frozenset({*_WRITTEN, "gate.json", "gate.md"})
NAME = "run.json"
VERDICT = "verdict.json"
# A report, or what is left of one that was being written when its process was killed.
_REPORT = "|".join(rf"{re.escape(name)}|\.{re.escape(name)}\.\d+" for name in sorted(REPORTS))


def load_run(path: Path) -> RunRecord:
    """Read a run record from ``run.json`` or from the folder that holds it.

    Raises:
        InvalidInput: no such file, broken JSON, another schema version, or a value that is not allowed.
    """
    file = path / NAME if path.is_dir() else path
    return validated(file, read_json(file))


def validated(file: Path, raw: Any) -> RunRecord:
    """A run record from the JSON value that ``file`` holds it as.

    Raises:
        InvalidInput: another schema version, or a value that is not allowed.
    """
    if not isinstance(raw, dict):
        raise InvalidInput(f"{file}: a run record is a JSON object, found {type(raw).__name__}.")
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise InvalidInput(
            f"{file}: schema_version: found {version!r}, this version of the harness reads {SCHEMA_VERSION}. "
            "Read it with the version that wrote it, or run again."
        )
    try:
        return RunRecord.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(_explain(file, error)) from error


def save_run(record: RunRecord, path: Path) -> None:
    """Write a run record; ``path`` is the file, or an existing folder that ``run.json`` goes into.

    Raises:
        InvalidInput: a number is NaN or infinite: JSON cannot hold it, and it could not be read back.
    """
    file = path / NAME if path.is_dir() else path
    values = record.model_dump()
    for key, number in _numbers(values, ""):
        if not math.isfinite(number):
            raise InvalidInput(f"{file}: {key}: {number} cannot be written. A run record holds finite numbers only.")
    write_text(file, record.model_dump_json(indent=1) + "\n")


def save_verdict(verdict: VerdictFile, folder: Path) -> None:
    """Write ``verdict.json`` into a folder."""
    write_text(folder / VERDICT, verdict.model_dump_json(indent=1) + "\n")


def load_verdict(folder: Path) -> VerdictFile:
    """Read ``verdict.json`` from a folder.

    Raises:
        InvalidInput: no such file, or not a verdict.
    """
    file = folder / VERDICT
    try:
        return VerdictFile.model_validate(read_json(file))
    except ValidationError as error:
        raise InvalidInput(_explain(file, error)) from error


def clear_reports(reports: Path) -> None:
    """An empty folder for reports: those of an earlier run go, whatever else lies there is not ours to delete.

    Raises:
        InvalidInput: a file in the folder's place, or something else in it.
    """
    if reports.exists() and not reports.is_dir():
        raise InvalidInput(f"--reports {reports} is a file. Name a folder")
    reports.mkdir(parents=True, exist_ok=True)
    found = {path.name: path for path in reports.iterdir()}
    if others := sorted(name for name in found if not re.fullmatch(_REPORT, name)):
        raise InvalidInput(
            f"--reports {reports}: there is something else than reports in it: {', '.join(others[:3])}. "
            "Name an empty folder or one of an earlier run"
        )
    for path in found.values():
        path.unlink()


def schema() -> dict[str, Any]:
    """The JSON schema of ``run.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RunRecord.model_json_schema(),
        "title": "Phase 8 run record",
    }


def schema_text() -> str:
    """The text of ``docs/run.schema.json``."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def read_json(file: Path) -> Any:
    """Any JSON value in a file.

    Raises:
        InvalidInput: no such file, or not strict JSON in UTF-8.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise InvalidInput(f"{file}: no such file. Give a {NAME} or the folder of a finished run.") from error
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}.") from error
    except RecursionError as error:
        raise InvalidInput(f"{file}: not a run record: nested too deeply.") from error
    except ValueError as error:  # broken JSON and broken UTF-8
        raise InvalidInput(f"{file}: not valid JSON: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _explain(file: Path, error: ValidationError) -> str:
    shown = 10
    lines = []
    for problem in error.errors(include_url=False)[:shown]:
        key = ".".join(str(part) for part in problem["loc"])
        found = "" if problem["type"] == "missing" else f" Found: {str(problem['input'])[:80]!r}."
        lines.append(f"{file}: {key}: {problem['msg']}.{found}")
    if error.error_count() > shown:
        lines.append(f"{file}: {error.error_count() - shown} more problems")
    return "\n".join(lines)


def _numbers(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Every float in nested dicts and sequences, with its dotted key."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _numbers(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for position, part in enumerate(value):
            yield from _numbers(part, f"{key}.{position}")
