"""The proof of power: plants change what they name, only the right finding catches them, a stopped proof goes on."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.core.store import Store
from phase8.history.file import REPLIES, pack, write
from phase8.profile.loading import load
from phase8.proofs.power import clone as power_clone
from phase8.proofs.power import run as power_run
from phase8.proofs.power.benchmark import compare_fail
from phase8.proofs.power.clone import Clone, Gated, require_clean
from phase8.proofs.power.judge import as_it_should, judge_pair, judge_plant
from phase8.proofs.power.plant import Plant, says
from phase8.proofs.power.plants import PLANTS
from phase8.proofs.power.plants_data import DATA
from phase8.proofs.power.plants_engine import ENGINE
from phase8.proofs.power.plants_history import HISTORY
from phase8.proofs.power.record import Compared, PowerCase, PowerReport
from phase8.proofs.power.report import counts, markdown
from phase8.proofs.power.run import Asked, Power, asked
from phase8.proofs.power.site import BESIDE, JUDGED, PROFILE, Materials, Site, replace
from phase8.record.ab_blocks import BlockedLatency, QuantityVerdict
from phase8.regression.findings import Finding, GateReport, gate_report
from suites.unit import tiny
from suites.unit.gates import whole_run

NAMED = {plant.name: plant for plant in PLANTS}
EXPECTED = says("calls", "canonical", about="query-1")


def timed_blocks() -> BlockedLatency:
    """What was timed of the judged variant: it is as fast as before."""
    token = QuantityVerdict(
        quantity="token_s", baseline_s=0.004, change_s=0.004, ratio=1.0, low=0.99, high=1.01, level=0.025, blocks=8,
        p=0.9, adjusted_p=0.9, family=1, outcome="fine",
    )  # fmt: skip
    return BlockedLatency(variant=JUDGED, limit=1.02, quantities=(token,), blocks=())


def found(check: str, outcome: Any = "regressed", subject: str = JUDGED, **more: Any) -> Finding:
    """A finding."""
    return Finding(check=check, subject=subject, outcome=outcome, detail=more.pop("detail", ""), **more)


def gated(*findings: Finding, timed: bool = True) -> GateReport:
    """A gate's report with these findings, beside one that is fine."""
    report = gate_report([found("size", "fine"), *findings])
    return report.model_copy(update={"latency": (timed_blocks(),) if timed else ()})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The real sources and data, copied, with the profile that is gated."""
    repo = tmp_path / "repo"
    for folder in ("harness", "data"):
        shutil.copytree(ROOT / folder, repo / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (repo / "power").mkdir()
    (repo / "power" / "power.toml").write_text(PROFILE, encoding="utf-8")
    (repo / "power" / "held-out.jsonl").write_text('{"row": 1}\n{"row": 2}\n', encoding="utf-8")
    materials = cast("Materials", SimpleNamespace())
    return Site(repo, repo / "power", tmp_path / "scratch", materials)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# Plants.


def test_only_what_blocks_must_catch_is_timed(site: Site) -> None:
    """The others are gated with a profile that times nothing, and says so."""
    timed = {plant.name for plant in PLANTS if plant.timed}
    assert timed == {"decode-slowed-3", "decode-slowed-7", "decode-slowed-15", "load-slowed-15"}
    assert load(str(site.folder / "power.toml")).profile.gate.latency.variants is None
    site.untimed()
    assert load(str(site.folder / "power.toml")).profile.gate.latency.variants == ()


def test_there_are_at_least_24_plants_with_names_of_their_own() -> None:
    """And each says what must catch it."""
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= 24
    assert all(plant.expected.checks for plant in PLANTS)


def test_only_the_slowdown_just_over_the_limit_may_stay_open() -> None:
    """Every other plant is caught or missed."""
    assert [plant.name for plant in PLANTS if plant.expected.may_be_inconclusive] == ["decode-slowed-3"]


@pytest.mark.parametrize("plant", [*ENGINE, *DATA], ids=lambda plant: plant.name)
def test_a_plant_in_sources_or_data_changes_the_real_files(plant: Plant, site: Site) -> None:
    """Its text is still there to be replaced, and what comes out is Python, TOML and JSON."""
    before = contents(site.repo)
    plant.change(site)
    changed = [name for name, content in contents(site.repo).items() if before[name] != content]
    assert changed
    for name in changed:
        text = (site.repo / name).read_text(encoding="utf-8")
        if name.endswith(".py"):
            compile(text, name, "exec")
        elif name.endswith(".toml"):
            load(str(site.repo / name))
        else:
            assert [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("plant", ENGINE, ids=lambda plant: plant.name)
def test_a_plant_whose_text_is_gone_is_refused(plant: Plant, site: Site) -> None:
    """It would plant nothing, and the gate would seem to miss it."""
    for path in (site.repo / "harness" / "phase8" / "engine").rglob("*.py"):
        path.write_text('"""Rewritten."""\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match="is there 0 times"):
        plant.change(site)


def test_text_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Nobody could say which of both was meant."""
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="2 times"):
        replace(tmp_path / "a.py", "x = 1", "x = 2")


@pytest.mark.parametrize("percent", [3, 7, 15])
def test_a_slowed_step_takes_that_much_longer(percent: int, site: Site) -> None:
    """Of its own time, on a clock that only the step and the waiting move."""
    NAMED[f"decode-slowed-{percent}"].change(site)
    source = (site.repo / "harness" / "phase8" / "engine" / "timing" / "latency.py").read_text(encoding="utf-8")
    advance = source[source.index("    def advance(") : source.index("class Prompts")]
    now = [0.0]

    def clock() -> float:
        now[0] += 1e-4
        return now[0]

    def step() -> None:
        now[0] += 10.0

    spelled = "import itertools\n" + "\n".join(line[4:] for line in advance.splitlines())
    names: dict[str, Any] = {"time": SimpleNamespace(perf_counter=clock), "mx": SimpleNamespace(synchronize=step)}
    exec(spelled, names)
    open_reply = SimpleNamespace(_steps=iter([(5, None)]), _stops=set())
    assert names["advance"](open_reply, 1)[1] == pytest.approx(10 * (1 + percent / 100), rel=1e-3)


def test_weight_plants_change_the_tensors_they_name_and_no_others(tmp_path: Path) -> None:
    """One expert's scales and biases; one layer's router."""
    import mlx.core as mx

    from phase8.engine.faults import permute_router, zero_expert

    (tmp_path / "tokenizer").mkdir()
    tokenizer = tiny.tokenizer_folder(tmp_path / "tokenizer")
    base = tiny.model_folder(tmp_path / "base", tokenizer, tiny.MOE, bits=4, group_size=32)

    def changed(name: str) -> tuple[dict[str, mx.array], dict[str, mx.array], set[str]]:
        tensors = [cast("dict[str, mx.array]", mx.load(str(f / "model.safetensors"))) for f in (base, tmp_path / name)]
        other = {key for key, old in tensors[0].items() if not mx.array_equal(old, tensors[1][key])}
        return tensors[0], tensors[1], other

    shutil.copytree(base, tmp_path / "expert")
    zero_expert(tmp_path / "expert", 1, 2)
    before, after, names = changed("expert")
    assert {name.rpartition(".")[0] for name in names} == {
        f"model.layers.1.mlp.switch_mlp.{part}_proj" for part in ("gate", "up", "down")
    }
    for name in names:
        assert not mx.any(after[name][2]).item()
        assert mx.array_equal(after[name][:2], before[name][:2])
    shutil.copytree(base, tmp_path / "router")
    permute_router(tmp_path / "router", 0)
    before, after, names = changed("router")
    assert names == {name for name in before if name.startswith("model.layers.0.mlp.gate.")}
    assert all(mx.array_equal(after[name][1], before[name][0]) for name in names)
    with pytest.raises(InvalidInput, match="does not fit this model"):
        permute_router(tmp_path / "router", 7)
    with pytest.raises(InvalidInput, match="expert 9 is not one of 4"):
        zero_expert(tmp_path / "expert", 0, 9)


def test_the_busiest_expert_is_the_one_that_most_tokens_go_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted over all texts among the experts that are really taken, the first two of each token."""
    import mlx.core as mx
    import mlx.nn as nn

    from phase8.engine import faults as plants

    class Router(nn.Module):
        def __call__(self, x: mx.array) -> mx.array:
            return x

    logits = {"one": [[5.0, 4.0, 0.0], [5.0, 4.0, 0.0]], "two": [[0.0, 4.0, 5.0], [0.0, 4.0, 5.0], [0.0, 4.0, 5.0]]}
    block = SimpleNamespace(gate=Router(), top_k=2)

    class Model:
        model = SimpleNamespace(layers=[None, SimpleNamespace(mlp=block)])

        def __call__(self, tokens: mx.array) -> None:
            block.gate(tokens)

    tokenizer = SimpleNamespace(encode=lambda text: logits[text])
    monkeypatch.setattr(plants, "load_fast", lambda _: (Model(), tokenizer))
    assert plants.busiest_expert(Path(), 1, ["one", "two"]) == 1
    block.gate, block.top_k = Router(), 1
    assert plants.busiest_expert(Path(), 1, ["one", "two"]) == 2


def test_a_scaled_adapter_differs_in_its_scale_alone(tmp_path: Path) -> None:
    """The original stays as it is."""
    from phase8.engine.faults import scale_adapter

    (tmp_path / "adapter").mkdir()
    config = {"fine_tune_type": "lora", "lora_parameters": {"rank": 8, "scale": 20.0}}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    scale_adapter(tmp_path / "adapter", 0.05, tmp_path / "scaled")
    told = json.loads((tmp_path / "scaled" / "adapter_config.json").read_text(encoding="utf-8"))
    assert told == {"fine_tune_type": "lora", "lora_parameters": {"rank": 8, "scale": 1.0}}
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8")) == config


@pytest.mark.parametrize("plant", HISTORY, ids=lambda plant: plant.name)
def test_a_damaged_or_foreign_baseline_is_refused_in_the_words_expected(plant: Plant, site: Site) -> None:
    """The very words that the proof looks for; the untouched one is read."""
    from phase8.history.file import Acceptance
    from phase8.history.lanes import baseline
    from phase8.record.run import VerdictFile

    run = whole_run()
    verdict = VerdictFile(exit_code=0, outcome="pass", reasons=(), partial=False)
    timed = {"machine_info": {}, "commit_info": {}, "benchmarks": [], "datetime": "", "version": "5"}
    accepted = Acceptance(reason="first", time="2026-11-23T00:00:00+00:00", commit=None)
    path = write(pack(run, verdict, timed, accepted), site.history / run.lane)
    assert path.with_name(path.stem + REPLIES).is_file()
    baseline(site.history, run.lane)
    plant.change(site)
    with pytest.raises(InvalidInput, match=plant.expected.about):
        baseline(site.history, run.lane)


# Judging.


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        (found("calls", names=("query-1",)), 1),
        (found("canonical", "missing", detail="lost: query-1"), 1),
        (found("calls", "invalid", detail="of query-1"), 2),
    ],
)
def test_the_right_finding_catches(finding: Finding, code: int) -> None:
    """And is named."""
    outcome, by = judge_plant(EXPECTED, code, gated(finding), "")
    assert outcome == "caught"
    assert len(by) == 1
    assert finding.check in by[0]


@pytest.mark.parametrize(
    "finding",
    [
        found("memory", names=("query-1",)),
        found("calls", subject=BESIDE, names=("query-1",)),
        found("calls", names=("query-2",)),
    ],
    ids=["another check", "another subject", "about something else"],
)
def test_a_wrong_finding_does_not_catch(finding: Finding) -> None:
    """The gate failed, but for another reason."""
    report = gated(finding)
    assert report.exit_code == 1
    assert judge_plant(EXPECTED, 1, report, "") == ("missed", report.reasons)


def test_a_right_finding_that_does_not_block_does_not_catch() -> None:
    """The merge would go through."""
    report = gated(found("calls", names=("query-1",), blocks=False))
    assert judge_plant(EXPECTED, 0, report, "")[0] == "missed"


def test_inconclusive_counts_only_where_it_may() -> None:
    """And only on the check that was to be decided."""
    near, far = (says("latency", about="token_s", near=near) for near in (True, False))
    report = gated(found("latency", "inconclusive", names=("token_s",)))
    assert judge_plant(near, 3, report, "")[0] == "inconclusive"
    assert judge_plant(far, 3, report, "")[0] == "missed"
    assert judge_plant(near, 3, gated(found("accuracy", "inconclusive")), "")[0] == "missed"
    assert judge_plant(near, 0, gated(), "")[0] == "missed"


def test_a_refusal_catches_only_in_the_words_expected() -> None:
    """Any other crash is a miss."""
    expected = says("termination", refusal="<|im_end|>")
    said = "loading\nerror: '<|im_end|>' is 4 tokens\n"
    assert judge_plant(expected, 2, None, said) == ("caught", ("error: '<|im_end|>' is 4 tokens",))
    assert judge_plant(expected, 2, None, "error: no disk")[0] == "missed"
    assert judge_plant(expected, 1, None, said)[0] == "missed"
    assert judge_plant(EXPECTED, 2, None, said)[0] == "missed"
    report = gate_report([found("input", "invalid", subject="run", detail="'<|im_end|>' is 4 tokens")])
    assert judge_plant(expected, 2, report, "") == ("caught", ("run: input: '<|im_end|>' is 4 tokens",))
    assert judge_plant(EXPECTED, 2, report, "")[0] == "missed"
    other = gate_report([found("input", "invalid", subject="run", detail="no disk")])
    assert judge_plant(expected, 2, other, "")[0] == "missed"


def test_an_exit_code_that_the_report_does_not_have_is_a_miss() -> None:
    """A report of another run, or a gate that says one thing and does another."""
    report = gated(found("calls", names=("query-1",)))
    assert judge_plant(EXPECTED, 0, report, "")[0] == "missed"
    assert judge_pair(0, report, "")[0] == "invalid"


def test_an_identical_pair_is_what_the_gate_says() -> None:
    """Quiet only where it was timed."""
    assert judge_pair(0, gated(), "") == ("fine", ())
    assert judge_pair(1, gated(found("latency")), "")[0] == "regressed"
    assert judge_pair(3, gated(found("latency", "inconclusive")), "")[0] == "inconclusive"
    assert judge_pair(2, None, "error: no disk") == ("invalid", ("error: no disk",))
    assert judge_pair(0, gated(timed=False), "")[0] == "invalid"


def test_pytest_benchmarks_own_rule_is_asked() -> None:
    """5 % is allowed, a benchmark of another name is not compared, a slower one fails."""

    def timed(**medians: float) -> dict[str, Any]:
        return {"benchmarks": [{"fullname": name, "stats": {"median": value}} for name, value in medians.items()]}

    before = timed(load=1.0, decode=2.0, gone=1.0)
    assert compare_fail(timed(load=1.04, decode=2.0, new=9.0), before) == Compared(compared=2, failures=())
    (failure,) = compare_fail(timed(load=1.06, decode=1.0), before).failures
    assert failure.startswith("load: Field 'median' has failed PercentageRegressionCheck")


# The run.


def case(name: str, outcome: Any, **more: Any) -> PowerCase:
    """A finished case."""
    values: dict[str, Any] = {"key": "k", "kind": "pair" if name.startswith("pair") else "plant", "what": "", "by": ()}
    values |= {"exit_code": 0, "latency": (), "blocks": 0, "dropped": 0, "seconds": 1.0, "finished": "2026-11-23"}
    values |= {"benchmark": Compared(compared=1, failures=())}
    return PowerCase(name=name, outcome=outcome, **{**values, **more})


def test_one_miss_one_invalid_pair_or_two_false_alarms_are_too_many() -> None:
    """Of 30 pairs one may be regressed and six not be fine."""
    quiet = [case(f"pair-{i}", "fine") for i in range(24)] + [case("pair-x", "inconclusive")] * 5
    assert as_it_should([case("a", "caught"), case("b", "inconclusive"), *quiet, case("pair-y", "regressed")])
    assert not as_it_should([case("a", "missed"), *quiet])
    assert not as_it_should([*quiet, case("pair-y", "invalid")])
    assert not as_it_should([*quiet[1:], *[case("pair-y", "regressed")] * 2])
    assert not as_it_should([*quiet[1:], *[case("pair-y", "inconclusive")] * 2])
    assert not as_it_should([])


def test_plants_and_pairs_take_turns_and_all_are_run() -> None:
    """So that both see the same hours of the machine."""
    cases = asked(30, [])
    assert len(cases) == len({one.name for one in cases}) == len(PLANTS) + 30
    kinds = "".join("p" if one.plant else "." for one in cases)
    assert "pppp" not in kinds
    assert "..." not in kinds
    assert [one.name for one in asked(2, ["pair"])] == ["pair-01", "pair-02"]
    assert [one.name for one in asked(30, ["memory-held"])] == ["memory-held"]
    with pytest.raises(InvalidInput, match="--only nothing: no such case"):
        asked(1, ["nothing"])


class _Still(Clone):
    """A clone whose gate answers at once; counts what it was asked."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gates, self.resets, self.fail_at = 0, 0, 0

    @property
    def ready(self) -> bool:
        return True

    def reset(self) -> None:
        self.resets += 1

    def commit(self, text: str) -> None:
        pass

    def gate(self) -> Gated:
        self.gates += 1
        if self.gates == self.fail_at:
            raise KeyboardInterrupt
        return Gated(0, "", gated(), {"benchmarks": []}, 1.0)


@pytest.fixture
def power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Power:
    """A proof whose gate is not run."""
    monkeypatch.setattr(power_run, "require_clean", lambda: "c" * 40)
    monkeypatch.setattr(power_run, "read", lambda _: SimpleNamespace(benchmarks={"benchmarks": []}))
    monkeypatch.setattr(Clone, "baseline", lambda _: Path("baseline"))
    proof = Power(Store(tmp_path / "build"))
    proof.clones = [_Still(clone.root) for clone in proof.clones]
    for clone in proof.clones:
        clone.root.mkdir(parents=True)
    return proof


def test_a_stopped_proof_goes_on_where_it_was_stopped(power: Power, tmp_path: Path) -> None:
    """What is finished is not run again; the clone is put back before the next case."""
    clone = cast("_Still", power.clones[0])
    clone.fail_at = 3
    cases = [Asked(f"pair-{i:02d}", None) for i in range(1, 6)]
    with pytest.raises(KeyboardInterrupt):
        power.run(cases)
    assert list(power.finished()) == ["pair-01", "pair-02"]
    with (tmp_path / "build" / "power" / "results.jsonl").open("a", encoding="utf-8") as results:
        results.write('{"key": "half a li\n')
    clone.fail_at = 0
    clone.resets = 0
    assert [one.name for one in power.run(cases)] == [one.name for one in cases]
    assert clone.gates == 6
    assert clone.resets == 1 + 2 * 3
    power.run(cases)
    assert clone.gates == 6


def test_only_what_is_not_timed_runs_side_by_side(power: Power, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a clone of its own, and its timings are compared with nothing."""
    cases = [one for one in asked(30, []) if one.name in ("pair-01", "memory-held", "query-dropped", "load-slowed-15")]
    groups = [[one.name for one in group] for group in power_run.together(cases)]
    assert sorted(map(len, groups)) == [1, 1, 2]
    assert ["memory-held", "query-dropped"] in groups
    assert [len(group) for group in power_run.together(asked(30, []))].count(2) == 19
    no_change = [one._replace(plant=replace_change(one.plant)) if one.plant else one for one in cases]
    monkeypatch.setattr(Site, "untimed", lambda _: None)  # the clone that still stands is not put back
    done = {one.name: one for one in power.run(no_change)}
    assert {name for name, one in done.items() if one.benchmark is None} == {"memory-held", "query-dropped"}
    assert [cast("_Still", clone).gates for clone in power.clones] == [3, 1]


def replace_change(plant: Plant) -> Plant:
    """The plant, planting nothing."""
    return dataclasses.replace(plant, change=lambda _: None)


def test_results_of_another_commit_are_not_taken(power: Power) -> None:
    """They are of other code."""
    power.run([Asked("pair-01", None)])
    power.key = "another"
    assert power.finished() == {}


def test_uncommitted_changes_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clone would not have them."""
    monkeypatch.setattr(power_clone, "ROOT", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "old.py").write_text("", encoding="utf-8")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    (tmp_path / "old.py").write_text("x = 1", encoding="utf-8")
    (tmp_path / "new.py").write_text("", encoding="utf-8")
    with pytest.raises(InvalidInput, match="plants in: old.py, new.py. Commit them"):
        require_clean()


def test_a_clone_is_put_back_whatever_was_left_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes, new files, commits, and replies that were set aside."""
    source = tmp_path / "source"
    subprocess.run(["git", "init", "-q", str(source)], check=True)
    (source / "a.py").write_text("x = 1\n", encoding="utf-8")
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    monkeypatch.setattr(power_clone, "ROOT", source)
    monkeypatch.setattr(Clone, "_harness", lambda *_: None)
    clone = Clone(tmp_path / "clone")
    clone.make()
    clone.folder.mkdir()
    (clone.folder / "power.toml").write_text(PROFILE, encoding="utf-8")
    (clone.history / "lane").mkdir(parents=True)
    monkeypatch.setattr(Clone, "commit", _commit_if_changed)
    clone.accept()
    assert clone.ready
    before = contents(clone.folder)
    replace(clone.repo / "a.py", "x = 1", "x = 2")
    (clone.repo / "new.py").write_text("", encoding="utf-8")
    clone.commit("plant")
    (clone.repo / "left.py").write_text("", encoding="utf-8")
    clone.reset()
    assert (clone.repo / "a.py").read_text(encoding="utf-8") == "x = 1\n"
    assert not (clone.repo / "new.py").exists()
    assert not (clone.repo / "left.py").exists()
    assert contents(clone.folder) == before


def _commit_if_changed(clone: Clone, text: str) -> None:
    git = ["git", "-C", str(clone.repo), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", text], check=True)


def test_the_report_counts_both_columns_with_intervals() -> None:
    """The gate's outcome and pytest-benchmark's, of the same runs."""
    failing = Compared(compared=8, failures=("load: slower",))
    cases = (
        case("memory-held", "caught", by=("regressed: fused-5bit: memory: more",), what="30 MB", benchmark=None),
        case("query-renamed", "missed", by=("fine",), benchmark=None),
        case("decode-slowed-7", "caught", by=("regressed: fused-5bit: latency: slower",), benchmark=failing),
        case("pair-01", "fine", benchmark=failing),
        case("pair-02", "inconclusive"),
    )
    report = PowerReport(
        commit="c" * 40,
        date="2026-11-23",
        machine="a machine",
        versions={},
        limit=1.02,
        compare_fail="median:5%",
        cases=cases,
    )
    shares = {(title, outcome): (own, stock) for title, outcome, own, stock in counts(report)}
    assert shares["Planted regressions", "caught"] == ("2 of 3 (9.4% to 99.2%)", "1 of 1 (2.5% to 100.0%)")
    assert shares["Planted regressions", "missed"] == ("1 of 3 (0.8% to 90.6%)", "0 of 1 (0.0% to 97.5%)")
    assert shares["Identical pairs", "regressed"] == ("0 of 2 (0.0% to 84.2%)", "1 of 2 (1.3% to 98.7%)")
    text = markdown(report)
    assert "2026-11-23" in text
    assert "a machine" in text
    assert text.index("memory-held") < text.index("query-renamed") < text.index("pair-01")
