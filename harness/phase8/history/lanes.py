"""The history of runs: every one below ``build/history/LANE/``, accepted ones below ``reports/history/LANE/``."""

import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from phase8.core import git
from phase8.core.errors import InvalidInput
from phase8.gates.outcome import outcome, verdict_file
from phase8.history.file import (
    Acceptance,
    Packed,
    Stored,
    Summary,
    is_history_file,
    pack,
    read,
    read_benchmarks,
    read_summary,
    summarise,
    write,
)
from phase8.record.files import load_run, load_verdict
from phase8.record.run import RunRecord, VerdictFile

Allowed = Literal["failed", "inconclusive", "partial", "dirty"]
_LANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class LaneRuns(NamedTuple):
    """The latest runs of a lane up to one that is shown, oldest first; what could not be read is counted."""

    runs: tuple[Summary, ...]
    damaged: int = 0
    older: int = 0

    @property
    def earlier(self) -> int:
        """How many runs came before the one that is shown, as far as they could be read."""
        return self.older + max(len(self.runs) - 1, 0)


class Listed(NamedTuple):
    """One run of a list; ``fault`` says why its summary could not be read."""

    path: Path
    summary: Summary | None
    fault: str = ""


def keep(reports: Path, history: Path) -> Path:
    """Add the finished run in a reports folder to the history; the same run is kept once.

    Raises:
        InvalidInput: the folder holds no finished run.
    """
    record = load_run(reports)
    packed = pack(record, load_verdict(reports), read_benchmarks(reports), None)
    return write(packed, lane_folder(history, record.lane))


def lane_folder(root: Path, lane: str) -> Path:
    """The folder of a lane, whose name comes from a record and must not lead elsewhere.

    Raises:
        InvalidInput: the lane is no plain name.
    """
    if not _LANE.fullmatch(lane):
        raise InvalidInput(f"lane {lane!r} is no plain name: letters, digits, dots, '_' and '-' only. Run again.")
    return root / lane


def lanes(root: Path) -> list[str]:
    """The lanes that have a run."""
    return sorted({path.parent.name for path in root.glob("*/*.json")})


def listed(root: Path, lane: str) -> list[Listed]:
    """The runs of a lane, oldest first; reads one line of each."""
    return [_listed(path) for path in sorted(lane_folder(root, lane).glob("*.json"))]


def runs_until(record: RunRecord, roots: Sequence[Path], most: int = 200) -> LaneRuns:
    """The runs of a record's lane that started before it, and itself last; an accepted copy stands for its run.

    Args:
        record: the run that is shown; it may be in the history already.
        roots: folders of histories.
        most: how many runs are given at most, the latest.
    """
    found = [run for root in roots if _LANE.fullmatch(record.lane) for run in listed(root, record.lane)]
    kept: dict[tuple[str, str | None], Summary] = {}
    for run in (one.summary for one in found if one.summary):
        same = run.started, run.commit
        if run.lane == record.lane and _moment(run) < _moment(record) and (run.accepted or same not in kept):
            kept[same] = run
    runs = (*sorted(kept.values(), key=_moment), summarise(record, verdict_file(record)))
    return LaneRuns(runs[-most:], sum(not run.summary for run in found), max(len(runs) - most, 0))


def _moment(run: Summary | RunRecord) -> datetime.datetime:
    """When a run started; one without a readable time is the oldest."""
    try:
        return datetime.datetime.fromisoformat(run.started).astimezone(datetime.UTC)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def find(run: str, roots: Sequence[Path]) -> Path:
    """A history file by path, or by a part of its name that no other one has.

    Raises:
        InvalidInput: none, or several.
    """
    if Path(run).is_file() and is_history_file(Path(run)):
        return Path(run)
    found = sorted(_named(run, roots))
    accepted = {path for path in found if path.is_relative_to(roots[-1])}
    chosen = sorted(accepted) if len(accepted) == 1 else found
    if len(chosen) == 1:
        return chosen[0]
    if not found:
        raise InvalidInput(f"run {run!r} is not in the history. `python -m harness history list` names all runs.")
    names = ", ".join(path.stem for path in found[:5])
    raise InvalidInput(f"{run!r} is in the names of {len(found)} runs: {names}. Give more of one, or its path.")


def _named(run: str, roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        yield from (path for path in root.glob("*/*.json") if run and run in path.stem)


def baseline(root: Path, lane: str) -> Stored:
    """The run of a lane that was accepted last.

    Every file of the lane must be readable: the damaged one might be the newest.

    Raises:
        InvalidInput: none was accepted, a file is damaged or belongs to another lane.
    """
    runs = listed(root, lane)
    if faults := [run.fault for run in runs if run.fault]:
        raise InvalidInput("\n".join(faults))
    if not runs:
        known = ", ".join(lanes(root)) or "none"
        raise InvalidInput(
            f"no baseline: {root / lane} holds no accepted run (lanes that have one: {known}). "
            "Run `nox -s phase8` on that machine, look at the report, then "
            "`python -m harness history accept reports/latest --reason TEXT` and commit the files."
        )
    for run in runs:
        if run.summary and run.summary.lane != lane:
            raise InvalidInput(f"{run.path}: a baseline from another lane, {run.summary.lane}. Take it out of {lane}/.")
        if run.summary and run.summary.accepted is None:
            raise InvalidInput(f"{run.path}: was never accepted. Use `python -m harness history accept`.")
    return read(max(runs, key=_accepted_at).path)


def accept(run: str, reason: str, build: Path, accepted: Path, allowed: Sequence[Allowed]) -> Path:
    """Make a run the baseline of its lane; the path of the file to commit.

    Args:
        run: a reports folder, a ``run.json``, or a run of the history.
        reason: why, for those who read the history.
        build: where every run is kept.
        accepted: where baselines are kept.
        allowed: faults of a run that are accepted with it.

    Raises:
        InvalidInput: no reason, an unreadable run, or one that failed, is partial or dirty and not allowed to be.
    """
    if not reason.strip():
        raise InvalidInput("--reason is empty; say why this run is the one that later runs are compared with.")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    acceptance = Acceptance(reason=reason.strip(), time=now, commit=git.commit()[0])
    packed, record, summary = _candidate(run, (build, accepted), acceptance)
    if refused := [(fault, why) for fault, why in _faults(record, summary) if fault not in allowed]:
        told = "; ".join(why for _, why in refused)
        flags = " ".join(f"--allow {fault}" for fault, _ in refused)
        raise InvalidInput(f"{run}: not accepted: {told}. Mend it and run again, or accept it as it is with {flags}")
    return write(packed, lane_folder(accepted, record.lane))


def _candidate(run: str, roots: Sequence[Path], acceptance: Acceptance) -> tuple[Packed, RunRecord, Summary]:
    path = Path(run)
    reports = path if path.is_dir() else path.parent
    if path.is_dir() or (path.is_file() and not is_history_file(path)):
        record, verdict = load_run(path), load_verdict(reports)
        benchmarks = read_benchmarks(reports)
    else:
        stored = read(find(run, roots))
        record, benchmarks, old = stored.record, stored.benchmarks, stored.summary
        verdict = VerdictFile(exit_code=old.exit_code, outcome=old.outcome, reasons=(), partial=old.partial)
    packed = pack(record, verdict, benchmarks, acceptance)
    summary = Summary.model_validate_json(packed.text.partition("\n")[0].removesuffix(",")[len('{"summary": ') :])
    return packed, record, summary


def _faults(record: RunRecord, summary: Summary) -> Iterator[tuple[Allowed, str]]:
    """What speaks against a baseline; the record is asked again, whatever the run said of itself."""
    code = max(summary.exit_code, outcome(record).exit_code, key=(0, 3, 2, 1).index)
    if code in (1, 2):
        yield "failed", "the run failed"
    if code == 3:
        yield "inconclusive", "the run is inconclusive"
    if record.partial:
        yield "partial", "the run is partial: not every gate of every variant was judged"
    if record.environment.dirty or record.environment.commit is None:
        yield "dirty", "the checkout had uncommitted changes, or no commit"


def _accepted_at(run: Listed) -> datetime.datetime:
    assert run.summary
    assert run.summary.accepted  # baseline has refused all others
    try:
        return datetime.datetime.fromisoformat(run.summary.accepted.time)
    except ValueError as error:
        raise InvalidInput(f"{run.path}: accepted.time: {run.summary.accepted.time!r} is no ISO time") from error


def _listed(path: Path) -> Listed:
    try:
        return Listed(path, read_summary(path))
    except InvalidInput as error:
        return Listed(path, None, str(error))
