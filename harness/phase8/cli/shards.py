"""Shards on disk: read, joined, and written as the reports of one run, which the history keeps like any other."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phase8.core.errors import InvalidInput
from phase8.core.files import write_text
from phase8.core.store import HISTORY
from phase8.history import lanes as history
from phase8.history.file import read_benchmarks
from phase8.profile.profile import Profile
from phase8.record.files import BENCHMARKS, NAME, clear_reports, load_run
from phase8.record.run import RunRecord
from phase8.shards.join import merge, merged_benchmarks


def read_shards(folder: Path, reports: Path) -> dict[str, RunRecord]:
    """The runs below a folder, by the path of their file.

    Raises:
        InvalidInput: none there, one that cannot be read, or reports that would be written among them.
    """
    if folder.resolve() in (reports.resolve(), *reports.resolve().parents):
        raise InvalidInput(f"{folder}: the merged run is written to {reports}: keep shards elsewhere")
    shards = {str(path): load_run(path) for path in sorted(folder.rglob(NAME))}
    if not shards:
        raise InvalidInput(f"{folder}: no {NAME} below it: a shard is the folder that a run wrote")
    return shards


def merge_shards(shards: Mapping[str, RunRecord], profile: Profile, reports: Path, build: Path) -> RunRecord:
    """One run of all shards, with its reports written and its place in the history below ``build``.

    Raises:
        InvalidInput: the shards are no whole run, or ``reports`` holds something else than reports.
    """
    from phase8.report.write import publish

    run = merge(shards, profile)
    benchmarks = _benchmarks(list(shards))
    clear_reports(reports)
    if benchmarks["benchmarks"]:
        write_text(reports / BENCHMARKS, json.dumps(benchmarks, indent=4) + "\n")
    publish(run, reports, (build / HISTORY,))
    history.keep(reports, build / HISTORY)
    return run


def _benchmarks(files: Sequence[str]) -> dict[str, Any]:
    return merged_benchmarks([read_benchmarks(Path(file).parent) for file in files])
