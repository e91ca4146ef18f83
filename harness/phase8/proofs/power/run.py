"""The proof of power, case by case: plant, commit, gate, judge, keep, put back. Goes on where it was stopped."""

import datetime
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pydantic import ValidationError

from phase8.core.artefact import digest
from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import filelock
from phase8.core.machine import blas_in_words, numeric_environment, this_machine, versions
from phase8.core.progress import Count
from phase8.core.store import Store
from phase8.history.file import read
from phase8.proofs.power.benchmark import COMPARE_FAIL, compare_fail
from phase8.proofs.power.clone import Clone, Gated, require_clean
from phase8.proofs.power.judge import judge_pair, judge_plant
from phase8.proofs.power.plant import Plant
from phase8.proofs.power.plants import PLANTS
from phase8.proofs.power.record import PowerCase, PowerReport
from phase8.proofs.power.site import LIMIT, PROFILE, Materials, Site

PAIR = "pair"
AT_ONCE = 2  # cases that nothing is timed of


class Asked(NamedTuple):
    """One case to run; a pair has no plant."""

    name: str
    plant: Plant | None

    @property
    def timed(self) -> bool:
        """Whether blocks are measured for it: then nothing else may run."""
        return self.plant is None or self.plant.timed


def asked(pairs: int, only: Sequence[str]) -> list[Asked]:
    """The cases of a run, plants and pairs in turn, so that both see the same hours of the machine.

    Raises:
        InvalidInput: a name that is neither a plant nor ``pair``.
    """
    known = {plant.name: plant for plant in PLANTS}
    if unknown := sorted(set(only) - known.keys() - {PAIR}):
        raise InvalidInput(f"--only {unknown[0]}: no such case. There are: {', '.join([PAIR, *known])}")
    plants = [Asked(name, plant) for name, plant in known.items() if not only or name in only]
    quiet = [Asked(f"{PAIR}-{i + 1:02d}", None) for i in range(pairs) if not only or PAIR in only]
    longer, shorter = (plants, quiet) if len(plants) >= len(quiet) else (quiet, plants)
    places = {round((i + 0.5) * len(longer) / len(shorter)): one for i, one in enumerate(shorter)} if shorter else {}
    mixed = []
    for i in range(len(longer) + 1):
        mixed += [places[i]] if i in places else []
        mixed += longer[i : i + 1]
    return mixed


def together(cases: Sequence[Asked]) -> Iterator[list[Asked]]:
    """The cases as they are run: a timed one alone, the others ``AT_ONCE`` at a time, in about the order given."""
    waiting: list[Asked] = []
    for case in cases:
        if case.timed:
            yield [case]
            continue
        waiting.append(case)
        if len(waiting) == AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


class Power:
    """The cases of one commit and one set of settings, with their results below ``build/power/``."""

    def __init__(self, store: Store) -> None:
        self.commit = require_clean()
        self._root = store.root.resolve() / "power"
        self._results = self._root / "results.jsonl"
        self.materials = Materials(store)
        settings = {"commit": self.commit, "profile": PROFILE, "models": self.materials.key}
        self.key = digest(settings | {"environment": numeric_environment()})[:12]
        self._folder = self._root / self.key
        self.clones = [Clone(self._folder / str(i + 1)) for i in range(AT_ONCE)]

    def finished(self) -> dict[str, PowerCase]:
        """The cases of this commit and these settings that an earlier start has finished, by name."""
        found = {}
        lines = self._results.read_text(encoding="utf-8").splitlines() if self._results.is_file() else []
        for line in lines:
            try:
                case = PowerCase.model_validate_json(line)
            except ValidationError:
                continue  # a line that was being written, or of another version: its case is run again
            if case.key == self.key:
                found[case.name] = case
        return found

    def run(self, cases: Sequence[Asked]) -> list[PowerCase]:
        """Run what is not finished; every case in the order asked for."""
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self._root / "lock", timeout=0):
                return self._run_all(cases)
        except filelock.Timeout as error:
            raise InvalidInput(
                f"{self._root}: another proof of power is running there. Wait, or give --build"
            ) from error

    def _run_all(self, cases: Sequence[Asked]) -> list[PowerCase]:
        done = self.finished()
        if todo := [case for case in cases if case.name not in done]:
            self._prepare()
            begun = time.monotonic()
            with Count("power", len(todo)) as count:
                for group in together(todo):
                    for found in self._run(group):
                        done[found.name] = found
                        finished = sum(case.name in done for case in todo)
                        left = (time.monotonic() - begun) / finished * (len(todo) - finished) / 60
                        count.one(f"{found.name}: {found.outcome} ({found.seconds:.0f} s; about {left:.0f} min left)")
        return [done[case.name] for case in cases]

    def _prepare(self) -> None:
        """The clones with their baselines, made once; those of other commits go."""
        for old in self._root.iterdir():
            if old.is_dir() and old.name != self.key:
                shutil.rmtree(old)
        for clone in self.clones:
            if not clone.ready:
                clone.make()
                self.materials.write(clone.folder)
                clone.accept()
            clone.reset()

    def _run(self, cases: Sequence[Asked]) -> Iterator[PowerCase]:
        """Cases side by side, each from a clean clone back to a clean clone."""
        begun = time.monotonic()
        placed = list(zip(cases, self.clones, strict=False))
        before = [self._plant(case, clone) for case, clone in placed]
        with ThreadPoolExecutor(len(placed)) as pool:
            answers = list(pool.map(lambda one: one[1].gate(), placed))
        for (case, clone), gated, timings in zip(placed, answers, before, strict=True):
            found = self._judged(case, clone, gated, timings if case.timed else None)
            found = found.model_copy(update={"seconds": round(time.monotonic() - begun, 1)})
            self._keep(found, gated)
            clone.reset()
            yield found

    def _plant(self, case: Asked, clone: Clone) -> dict[str, Any]:
        """Put the case's change into a clean clone; the timings of the clone's baseline."""
        clone.reset()
        before = read(clone.baseline()).benchmarks
        if case.plant:
            site = Site(clone.repo, clone.folder, clone.root / "scratch", self.materials)
            case.plant.change(site)
            if not case.timed:
                site.untimed()
            clone.commit(f"Plant: {case.plant.what}")
        return before

    def _judged(self, case: Asked, clone: Clone, gated: Gated, before: dict[str, Any] | None) -> PowerCase:
        told = (gated.exit_code, gated.report, gated.said)
        outcome, by = judge_plant(case.plant.expected, *told) if case.plant else judge_pair(*told)
        by = tuple(text.replace(f"{clone.root}/", "") for text in by)  # a report is read on other machines too
        timed = gated.report.latency if gated.report else ()
        blocks = [block for one in timed for block in one.blocks]
        return PowerCase(
            key=self.key,
            name=case.name,
            kind="plant" if case.plant else "pair",
            what=case.plant.what if case.plant else "the unchanged clone",
            outcome=outcome,
            exit_code=gated.exit_code,
            by=by,
            latency=tuple(quantity for one in timed for quantity in one.quantities),
            blocks=len(blocks),
            dropped=sum(bool(block.dropped) for block in blocks),
            benchmark=None if before is None else compare_fail(gated.benchmarks, before),
            seconds=gated.seconds,
            finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _keep(self, case: PowerCase, gated: Gated) -> None:
        """The gate's report first, then the line that says the case is finished, in one write."""
        if gated.report:
            folder = self._folder / "gates"
            folder.mkdir(exist_ok=True)
            (folder / f"{case.name}.json").write_text(gated.report.model_dump_json(indent=1), encoding="utf-8")
        line = json.dumps(case.model_dump(mode="json"), ensure_ascii=False) + "\n"
        with self._results.open("a", encoding="utf-8") as stream:
            stream.write(line)


def report(power: Power, cases: Sequence[PowerCase]) -> PowerReport:
    """All cases of one commit with the machine they were run on."""
    here = this_machine()
    return PowerReport(
        commit=power.commit,
        date=max(case.finished for case in cases)[:10],
        machine=f"{here.chip}, {here.cores} cores, {here.memory_gb:.0f} GB, {here.system}, MLX on {here.device}, "
        f"{blas_in_words()}",
        versions=versions(),
        limit=LIMIT,
        compare_fail=COMPARE_FAIL,
        cases=tuple(cases),
    )
