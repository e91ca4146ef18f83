"""Whether a training recipe holds on other processors: whole runs over arithmetic settings, threads and seeds.

Processors add in different orders, and a small model's training amplifies the last bit. A recipe is good where every
gate of every production variant holds with room whatever the arithmetic and the seed. Each combination is a run of its
own, from the base on, in a store of its own, judged as any other run; only what a clock decides is left out, since
runs share the machine.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from phase8.core.blas import CHOICE, THREADS
from phase8.core.errors import InvalidInput
from phase8.core.machine import this_machine
from phase8.core.progress import Count
from phase8.core.project import ROOT
from phase8.gates.outcome import outcome
from phase8.gates.verdicts import holds_up
from phase8.profile.sections import PocketBase
from phase8.record.files import load_run
from phase8.record.run import RunRecord, Verdict
from phase8.stages.flow import Flow

SETTINGS: dict[str, dict[str, str]] = {
    "MKL": {CHOICE: "mkl"},
    "MKL, SSE4.2": {CHOICE: "mkl", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "MKL, AVX2": {CHOICE: "mkl", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "MKL, compatible": {CHOICE: "mkl", "MKL_CBWR": "COMPATIBLE"},
    "OpenBLAS": {CHOICE: "openblas"},
    "OpenBLAS, Haswell": {CHOICE: "openblas", "OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS, Sandybridge": {CHOICE: "openblas", "OPENBLAS_CORETYPE": "Sandybridge"},
    "OpenBLAS, Prescott": {CHOICE: "openblas", "OPENBLAS_CORETYPE": "Prescott"},
    "MLX's own": {CHOICE: "mlx"},
}
SHOWN = ("canonical", "held-out", "over-calls", "under-calls", "second turn", "termination")
TIMED = ("seconds a query", "decode ratio")
_AT_MOST = ("over-calls", "under-calls", "accuracy vs adapter")  # their limit is from above
_SECONDS = 4 * 3600  # no run waits for ever
SEEDS = 5  # of a base that is trained here; a base that is given has the profile's own seed


class Combination(NamedTuple):
    """One run: a name, the arithmetic, threads, and the seed of base and adapter."""

    setting: str
    threads: int
    seed: int

    def __str__(self) -> str:
        return f"{self.setting}, {self.threads} thread{'s' if self.threads > 1 else ''}, seed {self.seed}"


class Room(NamedTuple):
    """How much of what a gate allows is left: 1 is all of it, 0 none; below 0 the gate fails."""

    left: float
    where: str


def prove_recipe(flow: Flow, seeds: int | None, build: Path, console: Console) -> int:
    """Run every combination, print one line for each and the least room; 1 where a production gate does not pass.

    Raises:
        InvalidInput: the profile trains nothing, or no run could be made.
    """
    if not flow.profile.training:
        raise InvalidInput(f"{flow.located.path}: [training] is missing, so there is no recipe to prove")
    settings = _usable(console)
    chosen = combinations(flow, list(settings), seeds)
    runs: dict[Combination, RunRecord | str] = {}
    with Count("recipe", len(chosen)) as count, ThreadPoolExecutor(_at_once(flow)) as pool:
        for one, found in zip(
            chosen, pool.map(lambda c: _run(flow, c, settings[c.setting], build), chosen), strict=True
        ):
            runs[one] = found
            count.one(f"{one}: {found if isinstance(found, str) else _told(found)}")
    console.print(_table(flow, runs))
    return _close(runs, console)


def combinations(flow: Flow, settings: Sequence[str], seeds: int | None) -> list[Combination]:
    """Every setting with one thread and with all of them, at every seed; a base that is given has its one seed."""
    training = flow.profile.training
    assert training is not None
    ours = isinstance(flow.profile.base, PocketBase)
    count = seeds or (SEEDS if ours else 1)
    threads = sorted({1, this_machine().cores}) if ours else [this_machine().cores]
    return [Combination(*one) for one in product(settings, threads, range(training.seed, training.seed + count))]


def _usable(console: Console) -> dict[str, dict[str, str]]:
    """The settings that can be had here and compute in a way of their own; the others are named with the reason."""
    found: dict[str, str] = {}
    usable = {}
    for name, variables in SETTINGS.items():
        code = "import json; from phase8.core.machine import numeric_environment as n; print(json.dumps(n()))"
        command = [sys.executable, "-c", code]
        ran = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)
        if ran.returncode:
            console.print(f"{name}: not here: {ran.stderr.strip().splitlines()[-1]}", highlight=False, markup=False)
            continue
        environment = json.loads(ran.stdout)
        same = environment["products"] or environment["blas"]  # of MLX's own there are none
        if same in found:
            console.print(f"{name}: the same products as {found[same]} on this processor", highlight=False)
            continue
        found[same] = name
        usable[name] = variables
    return usable


def _at_once(flow: Flow) -> int:
    """A tiny model computes on one core whatever it is given; a larger one has the machine to itself."""
    return this_machine().cores if isinstance(flow.profile.base, PocketBase) else 1


def _run(flow: Flow, one: Combination, variables: Mapping[str, str], build: Path) -> RunRecord | str:
    """The record of a run in a process of its own, or what it said instead."""
    slug = re.sub(r"[^a-z0-9]+", "-", str(one).lower()).strip("-")
    reports = build / "reports" / f"{flow.profile.name}-{slug}"
    profile = build / "profiles" / slug / flow.located.path.name
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(with_seed(flow.located.path.read_text(encoding="utf-8"), one.seed), encoding="utf-8")
    shutil.rmtree(reports, ignore_errors=True)  # a run that is refused leaves the files of the one before
    environment = os.environ | dict(variables) | dict.fromkeys(THREADS, str(one.threads))
    command = [sys.executable, "-m", "phase8", "run", "--profile", str(profile)]
    command += ["--build", str(build), "--reports", str(reports)]
    try:
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"has not ended after {_SECONDS} s"
    if not (reports / "run.json").is_file():
        return (ran.stderr or ran.stdout).strip()[-300:] or f"ended with {ran.returncode}"
    return load_run(reports)


def with_seed(text: str, seed: int) -> str:
    """The text of a profile with another seed for base and training; what the corpus is drawn by stays."""
    lines, table = [], ""
    for line in text.splitlines():
        if heading := re.match(r"\s*\[([^\]]+)\]", line):
            table = heading[1].strip()
        ours = table in ("base", "training") and re.match(r"\s*seed\s*=", line)
        lines.append(f"seed = {seed}" if ours else line)
    return "\n".join(lines) + "\n"


def judged(record: RunRecord) -> list[Verdict]:
    """The verdicts that a recipe answers for: of production, but for what a clock decides."""
    return [v for v in record.verdicts if v.role == "production" and v.gate not in TIMED]


def faults(record: RunRecord) -> list[Verdict]:
    """Those that keep a run from passing; a control that got through is one."""
    bad = [v for v in judged(record) if v.status in ("fail", "missing") or holds_up(v)]
    return bad + [v for v in record.verdicts if v.role == "control" and v.status in ("fail", "missing")]


def problems(record: RunRecord) -> list[str]:
    """Why a run proves nothing, or the contrary: what failed, and that nothing was judged; a line each."""
    nothing = [] if judged(record) else ["no production gate was judged"]
    return [
        *nothing,
        *outcome(record).events,
        *(f"{v.variant}: {v.gate}: {v.detail or v.status}" for v in faults(record)),
    ]


def undecided(record: RunRecord) -> list[Verdict]:
    """The production gates that could not be decided and, by the profile, do not keep a run from passing."""
    return [v for v in judged(record) if v.status == "inconclusive" and not holds_up(v)]


def least_room(record: RunRecord) -> Room:
    """The decided gate with the least left of what it allows; gates that allow nothing have no room to measure."""
    rooms = [room for v in judged(record) if v.status != "inconclusive" and (room := _room(v)) is not None]
    return min(rooms, default=Room(0.0, "no gate with an allowance"))


def _room(verdict: Verdict) -> Room | None:
    limit, value = verdict.limit, verdict.measured
    if limit is None or value is None or verdict.unit != "share":
        return None
    where = f"{verdict.gate} at {verdict.variant}"
    if verdict.gate in _AT_MOST:
        value = verdict.paired.bound if verdict.paired else value
        return Room(1 - value / limit, where) if limit else None
    if verdict.gate == "recovery" and verdict.interval:
        value = verdict.interval.low
    return Room(min(1.0, (value - limit) / (1 - limit)), where) if limit < 1 else None


def _told(record: RunRecord) -> str:
    if wrong := problems(record):
        return "; ".join(wrong)
    room, open_ = least_room(record), undecided(record)
    passed = "every production gate passes"
    if open_:
        passed = f"no production gate fails, not decided: {', '.join(f'{v.gate} at {v.variant}' for v in open_)}"
    return f"{passed}; {room.where} has {room.left:.0%} of its allowance left"


def _table(flow: Flow, runs: Mapping[Combination, RunRecord | str]) -> Table:
    """One line a combination: for each gate the prompts that count, at each production variant."""
    names = [v.name for v in flow.variants() if v.role == "production"]
    title = f"{flow.profile.name}: right or counted replies at {', '.join(names)}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("run")
    for gate in SHOWN:
        table.add_column(gate, justify="right")
    table.add_column("least room", justify="right")
    table.add_column("gates")
    for one, found in runs.items():
        if isinstance(found, str):
            table.add_row(str(one), *[""] * (len(SHOWN) + 1), "no run")
            continue
        room, wrong = least_room(found), problems(found)
        open_ = len(undecided(found))
        gates = f"{len(wrong)} NOT PASSED" if wrong else f"pass but {open_} undecided" if open_ else "pass"
        table.add_row(str(one), *_cells(found, names), f"{room.left:.0%}", gates)
    return table


def _cells(record: RunRecord, names: Sequence[str]) -> Iterator[str]:
    given = {(v.variant, v.gate): v for v in record.verdicts}
    for gate in SHOWN:
        verdicts = [given.get((name, gate)) for name in names]
        counts = [round(v.measured * v.samples) if v and v.measured is not None else "?" for v in verdicts]
        samples = max((v.samples for v in verdicts if v), default=0)
        yield f"{' '.join(map(str, counts))} of {samples}"


def _close(runs: Mapping[Combination, RunRecord | str], console: Console) -> int:
    """What is wrong, then one closing line."""
    wrong = 0
    for one, found in runs.items():
        lines = [found] if isinstance(found, str) else problems(found)
        wrong += bool(lines)
        for line in lines:
            console.print(f"{one}: {line}", highlight=False, markup=False)
    records = {one: found for one, found in runs.items() if not isinstance(found, str)}
    if not records:
        console.print("recipe: no combination could be run", highlight=False)
        return 1
    one, room = min(((one, least_room(found)) for one, found in records.items()), key=lambda pair: pair[1].left)
    said = f"{wrong} of {len(runs)} combinations DO NOT PASS" if wrong else f"all {len(runs)} combinations pass"
    if open_ := sum(bool(undecided(found)) for found in records.values()):
        said += f", {open_} of them with a gate that could not be decided and does not block"
    console.print(
        f"recipe: {said}; least room: {room.left:.0%} of what {room.where} allows, with {one}", highlight=False
    )
    return 1 if wrong else 0
