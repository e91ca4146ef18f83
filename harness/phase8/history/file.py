"""One run as files of the history: pytest-benchmark's storage format, our record in it, the replies beside it.

The JSON holds what ``pytest-benchmark`` writes (``benchmarks``, ``machine_info``, ``commit_info``, ``datetime``,
``version``), which its ``compare`` reads, and our keys, which it passes over: ``summary``, ``run`` (the record without
replies) and ``replies_sha256``. The summary has the first line to itself, so that listing reads one line a file.
Names start with the time, as in ``2026_1123T013247Z_12adf9fd_0f3a9c1b2d``: four digits and ``_`` are what
pytest-benchmark looks for; commit and content hash keep two branches from writing the same name.
"""

import datetime
import gzip
import hashlib
import json
import re
import zlib
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from phase8.core.errors import InvalidInput
from phase8.core.files import write_bytes, write_text
from phase8.core.values import Frozen
from phase8.profile.terms import Role
from phase8.record.files import read_json, validated
from phase8.record.run import Reply, RunRecord, VariantRecord, VerdictFile
from phase8.record.view import DECODE, first_turns, judged_memory, verdicts_of

FORMAT = 1
REPLIES = ".replies.json.gz"  # not .json: pytest-benchmark would take it for a run
BENCHMARK_KEYS = ("machine_info", "commit_info", "benchmarks", "datetime", "version")
_RESTORE = "Restore it (`git checkout -- FILE` where it is committed), or delete it and accept another run."


class Acceptance(Frozen):
    """Why and when a run became a baseline; ``commit`` is that of the checkout it was accepted in."""

    reason: str
    time: str
    commit: str | None


class VariantSummary(Frozen):
    """What a list and a plot show of one variant; ``right`` of ``asked`` held-out prompts, decode in tokens/s.

    ``margin`` is the mean decision margin in ln odds; None where no ladder was scored, and in files of before it.
    """

    name: str
    role: Role
    right: int
    asked: int
    decode_tokens_per_s: float | None
    memory_bytes: int | None
    margin: float | None = None


class Summary(Frozen):
    """The first line of a history file. ``digest`` is the SHA-256 of the file's text with an empty digest."""

    format: Literal[1] = FORMAT
    lane: str
    profile: str
    started: str
    commit: str | None
    dirty: bool | None
    partial: bool
    exit_code: Literal[0, 1, 2, 3]
    outcome: Literal["pass", "fail", "inconclusive"]
    variants: tuple[VariantSummary, ...]
    accepted: Acceptance | None = None
    digest: str = ""


class Stored(NamedTuple):
    """A history file that was read and verified; ``record`` has its replies again."""

    path: Path
    summary: Summary
    record: RunRecord
    benchmarks: dict[str, Any]

    def medians_s(self) -> dict[str, float]:
        """The median of each benchmark in seconds, by full name."""
        return {found["fullname"]: found["stats"]["median"] for found in self.benchmarks["benchmarks"]}


class Packed(NamedTuple):
    """The two files of a run before they are written."""

    name: str
    text: str
    replies: bytes


def pack(record: RunRecord, verdict: VerdictFile, benchmarks: dict[str, Any], accepted: Acceptance | None) -> Packed:
    """A finished run as the two files of the history.

    Args:
        record: the run.
        verdict: its outcome.
        benchmarks: what pytest-benchmark wrote (``read_benchmarks``).
        accepted: why it is a baseline; None where it is none.

    Raises:
        InvalidInput: the run's start is no ISO time.
    """
    replies = {variant.name: [reply.model_dump() for reply in variant.replies] for variant in record.variants}
    raw = json.dumps(replies, ensure_ascii=True, separators=(",", ":")).encode()
    bare = tuple(variant.model_copy(update={"replies": ()}) for variant in record.variants)
    keys = {
        "run": record.model_copy(update={"variants": bare}).model_dump(mode="json"),
        "replies_sha256": hashlib.sha256(raw).hexdigest(),
        **{key: benchmarks[key] for key in BENCHMARK_KEYS},
    }
    body = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in keys.items()) + "}\n"
    summary = summarise(record, verdict, accepted)
    summary = summary.model_copy(update={"digest": _digest(summary, body)})
    name = f"{_time(record.started)}_{(record.environment.commit or 'nocommit')[:8]}_{summary.digest[:10]}"
    return Packed(name, _first_line(summary) + body, gzip.compress(raw, mtime=0))


def write(packed: Packed, folder: Path) -> Path:
    """Write both files, the replies first: a run that can be listed is whole. The path of the JSON."""
    path = folder / f"{packed.name}.json"
    write_bytes(folder / f"{packed.name}{REPLIES}", packed.replies)
    write_text(path, packed.text)
    return path


def summarise(record: RunRecord, verdict: VerdictFile, accepted: Acceptance | None = None) -> Summary:
    """The summary of a run, its digest still empty."""
    return Summary(
        lane=record.lane,
        profile=record.profile,
        started=record.started,
        commit=record.environment.commit,
        dirty=record.environment.dirty,
        partial=record.partial,
        exit_code=verdict.exit_code,
        outcome=verdict.outcome,
        variants=tuple(_variant(record, variant) for variant in record.variants),
        accepted=accepted,
    )


def read_summary(path: Path) -> Summary:
    """The summary of a history file, from its first line alone; the rest is not verified.

    Raises:
        InvalidInput: no such file, or its first line is no summary.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            line = stream.readline()
        return Summary.model_validate(json.loads(line.rstrip().removesuffix(",") + "}")["summary"])
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: no such file. `python -m harness history list` names those there are.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:  # ValidationError is a ValueError
        raise InvalidInput(f"{path}: damaged, or no history file: its first line is no summary. {_RESTORE}") from error


def is_history_file(path: Path) -> bool:
    """Whether a file starts as a history file does, and not as a ``run.json``."""
    try:
        with path.open("rb") as stream:
            return stream.read(12) == b'{"summary": '
    except OSError:
        return False


def read(path: Path) -> Stored:
    """A history file and its replies, verified against their hashes.

    Raises:
        InvalidInput: either file is missing, damaged or renamed, or was written in a schema that is not read here.
    """
    summary = read_summary(path)
    first, _, body = path.read_text(encoding="utf-8").partition("\n")
    # Of the text itself: a summary that was written before a field was added has another text today.
    blank = first.replace(f'"digest": "{summary.digest}"', '"digest": ""')
    if _sha256(f"{blank}\n{body}") != summary.digest:
        raise InvalidInput(f"{path}: damaged: its text does not have the hash it was written with. {_RESTORE}")
    if not path.stem.endswith(f"_{summary.digest[:10]}"):
        raise InvalidInput(f"{path}: renamed: its name should end with {summary.digest[:10]}. {_RESTORE}")
    raw = read_json(path)
    record = validated(path, raw["run"])
    replies = _read_replies(path, raw["replies_sha256"])
    if replies.keys() != {variant.name for variant in record.variants}:
        raise InvalidInput(f"{path}: the replies beside it are of other variants. {_RESTORE}")
    whole = tuple(variant.model_copy(update={"replies": replies[variant.name]}) for variant in record.variants)
    record = record.model_copy(update={"variants": whole})
    return Stored(path, summary, record, {key: raw[key] for key in BENCHMARK_KEYS})


def read_benchmarks(reports: Path) -> dict[str, Any]:
    """What pytest-benchmark wrote beside a ``run.json``; a run that timed nothing has no benchmarks.

    Raises:
        InvalidInput: the file is there and is not pytest-benchmark's.
    """
    path = reports / "benchmark.json"
    if not path.is_file() or not path.stat().st_size:
        return {"machine_info": {}, "commit_info": {}, "benchmarks": [], "datetime": "", "version": "none"}
    found = read_json(path)
    if not isinstance(found, dict) or (lacking := [key for key in BENCHMARK_KEYS if key not in found]):
        named = ", ".join(lacking) if isinstance(found, dict) else type(found).__name__
        raise InvalidInput(f"{path}: not what pytest-benchmark writes ({named}). Run again.")
    return found


def _read_replies(path: Path, sha256: str) -> dict[str, tuple[Reply, ...]]:
    beside = path.with_name(path.stem + REPLIES)
    try:
        raw = gzip.decompress(beside.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"{beside}: no such file: the replies of {path.name} are missing. {_RESTORE}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{beside}: cannot be read: {error}. {_RESTORE}") from error
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise InvalidInput(f"{beside}: damaged: not the replies that {path.name} was written with. {_RESTORE}")
    try:
        return TypeAdapter(dict[str, tuple[Reply, ...]]).validate_json(raw)
    except ValidationError as error:
        raise InvalidInput(f"{beside}: not replies of this schema: {error.error_count()} faults.") from error


def _variant(record: RunRecord, variant: VariantRecord) -> VariantSummary:
    held_out, decode = first_turns(variant, "held-out"), variant.latency.get(DECODE)
    memory = judged_memory(variant, verdicts_of(record, variant.name))
    rungs = record.survival.rungs if record.survival else ()
    return VariantSummary(
        name=variant.name,
        role=variant.role,
        right=sum(reply.correct for reply in held_out),
        asked=len(held_out),
        decode_tokens_per_s=median(decode.values) if decode and decode.values else None,
        memory_bytes=memory.bytes if memory else None,
        margin=next((rung.margin.value for rung in rungs if rung.variant == variant.name), None),
    )


def _first_line(summary: Summary) -> str:
    return f'{{"summary": {json.dumps(summary.model_dump(mode="json"), ensure_ascii=True)},\n'


def _digest(summary: Summary, body: str) -> str:
    return _sha256(_first_line(summary) + body)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _time(started: str) -> str:
    try:
        moment = datetime.datetime.fromisoformat(started).astimezone(datetime.UTC)
    except ValueError as error:
        raise InvalidInput(f"started: {started!r} is no ISO time, as in 2026-11-23T01:32:47+00:00") from error
    return re.sub(r"^(\d{4})", r"\1_", moment.strftime("%Y%m%dT%H%M%SZ"))
