"""The proof of power, case by case: plant, commit, gate, judge, keep, put back. Goes on where it was stopped."""

import datetime
import json
import shutil
from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

from pydantic import ValidationError

from harness.errors import InvalidInput
from harness.history_file import read
from harness.machine import numeric_environment, this_machine, versions
from harness.power_benchmark import COMPARE_FAIL, compare_fail
from harness.power_clone import Clone, Gated, require_clean
from harness.power_judge import judge_pair, judge_plant
from harness.power_plant import Plant
from harness.power_plants import PLANTS
from harness.power_record import PowerCase, PowerReport
from harness.power_site import LIMIT, PROFILE, Materials, Site
from harness.progress import Count
from harness.store import Store, digest

PAIR = "pair"


class Asked(NamedTuple):
    """One case to run; a pair has no plant."""

    name: str
    plant: Plant | None


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


class Power:
    """The cases of one commit and one set of settings, with their results below ``build/power/``."""

    def __init__(self, store: Store) -> None:
        self.commit = require_clean()
        self._root = store.root.resolve() / "power"
        self._results = self._root / "results.jsonl"
        self.materials = Materials(store)
        settings = {"commit": self.commit, "profile": PROFILE, "models": self.materials.key}
        self.key = digest(settings | {"environment": numeric_environment()})[:12]
        self.clone = Clone(self._root / self.key)

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
        done = self.finished()
        if todo := [case for case in cases if case.name not in done]:
            self._prepare()
            took: list[float] = []
            with Count("power", len(todo)) as count:
                for case in todo:
                    done[case.name] = found = self._one(case)
                    took.append(found.seconds)
                    left = mean(took) * (len(todo) - len(took)) / 60
                    count.one(f"{case.name}: {found.outcome} ({found.seconds:.0f} s; about {left:.0f} min left)")
        return [done[case.name] for case in cases]

    def _prepare(self) -> None:
        """The clone with its baseline, made once; those of other commits go."""
        self._root.mkdir(parents=True, exist_ok=True)
        for old in self._root.iterdir():
            if old.is_dir() and old.name != self.key:
                shutil.rmtree(old)
        if not self.clone.ready:
            self.clone.make()
            self.materials.write(self.clone.folder)
            self.clone.accept()
        self.clone.reset()

    def _one(self, case: Asked) -> PowerCase:
        """One case from a clean clone back to a clean clone."""
        begun = datetime.datetime.now(datetime.UTC)
        self.clone.reset()
        before = read(self.clone.baseline()).benchmarks
        if case.plant:
            site = Site(self.clone.repo, self.clone.folder, self.clone.root / "scratch", self.materials)
            case.plant.change(site)
            if not case.plant.timed:
                site.untimed()
            self.clone.commit(f"Plant: {case.plant.what}")
        gated = self.clone.gate()
        found = self._judged(case, gated, before)
        took = (datetime.datetime.now(datetime.UTC) - begun).total_seconds()
        found = found.model_copy(update={"seconds": round(took, 1)})
        self._keep(found, gated)
        self.clone.reset()
        return found

    def _judged(self, case: Asked, gated: Gated, before: dict) -> PowerCase:
        told = (gated.exit_code, gated.report, gated.said)
        outcome, by = judge_plant(case.plant.expected, *told) if case.plant else judge_pair(*told)
        by = tuple(text.replace(f"{self.clone.root}/", "") for text in by)  # a report is read on other machines too
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
            benchmark=compare_fail(gated.benchmarks, before),
            seconds=gated.seconds,
            finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _keep(self, case: PowerCase, gated: Gated) -> None:
        """The gate's report first, then the line that says the case is finished, in one write."""
        if gated.report:
            folder = self.clone.root / "gates"
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
        machine=f"{here.chip}, {here.cores} cores, {here.memory_gb:.0f} GB, {here.system}, MLX on {here.device}",
        versions=versions(),
        limit=LIMIT,
        compare_fail=COMPARE_FAIL,
        cases=tuple(cases),
    )
