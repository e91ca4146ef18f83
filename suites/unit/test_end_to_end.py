"""One real run of ``pocket``, from sources to reports, as a user starts it.

One test asserts that its model passes, and rests on the room that ``nox -s prove -- recipe`` measures. All others are
about the harness: they hold whatever this processor's rounding made of the model.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phase8.cli.main import main
from phase8.core.project import ROOT
from phase8.core.store import HISTORY
from phase8.gates.outcome import outcome
from phase8.gates.verdicts import GATES
from phase8.history import file as history_file
from phase8.history import lanes as history
from phase8.profile.loading import PROFILES
from phase8.record.audit import WAYS
from phase8.record.files import load_run, load_verdict
from phase8.record.run import RunRecord
from phase8.survival.answer import COST
from suites.unit.pocket_run import PocketRun, harness

BUILT = (
    "pool",
    "tokenizer",
    "corpus",
    "base",
    "probe",
    "adapter",
    "fused",
    "replies",
    "zero",
    "scores",
    "survived",
    "sizes",
)


@pytest.fixture(scope="module")
def build(pocket: PocketRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run's store."""
    return shutil.copytree(pocket.build, tmp_path_factory.mktemp("build"), dirs_exist_ok=True)


@pytest.fixture(scope="module")
def reports(pocket: PocketRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of a first, complete run."""
    assert (pocket.reports / "run.json").is_file(), pocket.said
    assert pocket.exit_code == load_verdict(pocket.reports).exit_code, pocket.said
    return shutil.copytree(pocket.reports, tmp_path_factory.mktemp("reports"), dirs_exist_ok=True)


@pytest.fixture(scope="module")
def record(reports: Path) -> RunRecord:
    """The record of that run."""
    return load_run(reports)


def test_a_run_writes_every_report(reports: Path) -> None:
    """The files that the README names."""
    names = {"run.json", "verdict.json", "report.md", "report.html", "junit.xml", "benchmark.json"}
    assert names <= {path.name for path in reports.iterdir()}


def test_the_shipped_recipe_passes_every_gate_here(reports: Path) -> None:
    """The one test that rests on what was learnt; how much room it has is proved by a command."""
    verdict = load_verdict(reports)
    assert (verdict.exit_code, verdict.reasons) == (0, ())


def test_the_record_fits_the_published_schema(reports: Path) -> None:
    """docs/run.schema.json is what other tools read runs by."""
    schema = json.loads((ROOT / "docs" / "run.schema.json").read_text())
    import jsonschema

    faults = jsonschema.Draft202012Validator(schema).iter_errors(json.loads((reports / "run.json").read_text()))
    assert [fault.message for fault in faults] == []


def test_every_variant_has_replies_timings_and_memory(record: RunRecord) -> None:
    """Nothing is judged that was not measured."""
    for variant in record.variants:
        assert variant.replies, variant.name
        assert variant.memory is not None, variant.name
        assert {"load_s", "ttft_cold_s", "ttft_warm_s", "query_s", "token_s"} <= set(variant.latency), variant.name


def test_every_production_variant_is_audited_with_its_odds(record: RunRecord, reports: Path) -> None:
    """In every way; the others are not."""
    for variant in record.variants:
        assert (variant.audit is not None) == (variant.role == "production"), variant.name
        for prompt in variant.audit.prompts if variant.audit else ():
            assert set(prompt.compared) == set(WAYS), prompt.case
            assert prompt.odds, prompt.case
    assert "## Determinism" in (reports / "report.md").read_text(encoding="utf-8")


def test_the_base_and_both_synthetic_controls_fail_as_they_must(record: RunRecord) -> None:
    """The run proves that its gate can fail."""
    controls = {verdict.variant: verdict.status for verdict in record.verdicts if verdict.gate == "control"}
    assert controls == {"base": "pass", "always-call": "pass", "always-direct": "pass"}


def test_the_ladder_has_every_rung_and_an_answer(record: RunRecord) -> None:
    """Every rung is scored and checked; the answer is one of the judged widths, or none of them."""
    ladder = record.survival
    assert ladder is not None
    rungs = {rung.variant: rung for rung in ladder.rungs}
    widths = (8, 6, 5, 4, 3, 2)
    assert set(rungs) >= {f"{kind}-{bits}bit" for kind in ("fused", "zero") for bits in widths}
    assert rungs["fused-8bit"].tokens.kl.value < rungs["fused-2bit"].tokens.kl.value
    assert rungs[ladder.reference].tokens.kl.value == 0
    checked = {check.variant: check.outcome for check in ladder.checks}
    assert checked == {f"fused-{bits}bit": "equal" for bits in (8, 6, 5, 4)}
    assert {one.bits for one in ladder.diagnoses} == set(widths)
    assert ladder.answer is not None
    assert ladder.answer.smallest in (None, *(rung.bits for rung in ladder.rungs if rung.judged))


def test_the_smallest_safe_width_holds_what_the_profile_sets_as_every_wider_one_does(record: RunRecord) -> None:
    """Every gate with a limit was counted at every width; only what it does not set was left out."""
    assert record.survival is not None
    answer = record.survival.answer
    assert answer is not None
    told = {"probes", "determinism", "seconds a query", "tool calls"}
    assert {width.counted for width in answer.widths} == {tuple(gate for gate in GATES if gate not in told)}
    bad = [v for v in record.verdicts if v.as_production in ("fail", "inconclusive", "missing")]
    failing = {(v.variant, v.gate) for v in bad if v.gate not in COST}
    safe = {width.bits for width in answer.widths if width.bits and answer.smallest and width.bits >= answer.smallest}
    assert not {variant for variant, _ in failing} & {f"fused-{bits}bit" for bits in safe}
    assert not [note for note in answer.notes if "Phase 8 record" in note]  # the profile names no earlier threshold


def test_the_report_begins_with_the_smallest_safe_width(reports: Path, record: RunRecord) -> None:
    """What a reader came for, before anything else."""
    first = (reports / "report.md").read_text(encoding="utf-8").splitlines()[0]
    assert record.survival is not None
    assert record.survival.answer is not None
    said = record.survival.answer.line[:40]
    assert first.startswith(f"# {said}")
    assert f"<h1>{said}" in (reports / "report.html").read_text(encoding="utf-8")


def test_lora_reaches_attention_router_and_experts(record: RunRecord) -> None:
    """The layers that mlx-lm finds in the production architecture."""
    assert record.training is not None
    assert {"self_attn.q_proj", "mlp.gate", "mlp.switch_mlp.up_proj"} <= set(record.training.modules)


@pytest.fixture(scope="module")
def two_widths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``pocket`` with two of its widths, and little to time."""
    text = (PROFILES / "pocket.toml").read_text(encoding="utf-8")
    changes = {
        "widths = [4, 5, 6, 8]": "widths = [5, 8]",
        "control_widths = [2, 3]": "control_widths = []\ncompare_recipes = false",
        'fused-6bit = "production"\n': "",
        'fused-4bit = "candidate"\n': "",
        "rounds = 10": "rounds = 2",
        "max_decode_ratio = 3.0": "max_decode_ratio = 100.0",
    }
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("two") / "two.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shards(build: Path, reports: Path, two_widths: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real shards that share the store, the base in both."""
    folder = tmp_path_factory.mktemp("shards")
    for name, variants in (("first", ("base", "adapter", "fused-8bit")), ("second", ("base", "fused-5bit"))):
        asked = [argument for variant in variants for argument in ("--variant", variant)]
        ran = harness("run", "--profile", two_widths, "--build", build, "--reports", folder / name, *asked)
        assert (folder / name / "run.json").is_file(), ran.stdout + ran.stderr
        assert "building" not in ran.stderr
    return folder


def test_a_second_run_builds_nothing(shards: Path) -> None:
    """Every artefact was found by the hash of its inputs, and a part of a run says that it is one."""
    assert all(load_run(folder).partial for folder in shards.iterdir())


def test_shards_are_joined_to_what_one_run_finds(
    record: RunRecord, shards: Path, two_widths: Path, tmp_path: Path
) -> None:
    """Ladder, folder checks and verdicts are those of the whole run; a merged run can be a baseline like any other."""
    given = ["--profile", str(two_widths), "--build", str(tmp_path / "build"), "--history", str(tmp_path / "history")]
    given += ["--reports", str(tmp_path / "r"), "--commit", record.environment.commit or "0" * 40]
    assert main(["gate", "--merge", str(shards), *given]) == 2  # no baseline yet; the run is joined all the same
    joined = load_run(tmp_path / "r")
    assert not joined.partial
    assert joined.survival is not None
    assert record.survival is not None
    assert joined.survival.answer is not None
    assert [width.bits for width in joined.survival.answer.widths] == [5, 8]
    for part in ("rungs", "checks", "diagnoses"):
        names = {one.variant for one in getattr(joined.survival, part)}
        whole = [one for one in getattr(record.survival, part) if one.variant in names]
        assert list(getattr(joined.survival, part)) == whole
    timed = json.loads((tmp_path / "r" / "benchmark.json").read_text(encoding="utf-8"))["benchmarks"]
    assert len(timed) == len({one["fullname"] for one in timed}) == 4 * len(joined.variants)
    accepted = history.accept(
        str(tmp_path / "r"), "joined", tmp_path / "build", tmp_path / "history", ["dirty", "failed", "inconclusive"]
    )
    judged = 1 if outcome(joined).exit_code == 1 else 0  # a run that failed its own gates is no better for being joined
    assert main(["gate", "--merge", str(shards), *given]) == (judged if joined.environment.dirty is False else 2)
    assert len(history_file.read(accepted).benchmarks["benchmarks"]) == len(timed)
    assert len(list((tmp_path / "build" / "history").glob("*/*.json"))) == 1


def test_every_artefact_is_sound(build: Path, reports: Path) -> None:
    """Contents are what was hashed when they were built."""
    ran = harness("artefacts", "verify", "--build", build)
    assert ran.returncode == 0, ran.stdout
    assert {path.name for path in build.iterdir() if not path.name.startswith(".")} == {*BUILT, HISTORY}


def test_a_fused_folder_loads_in_mlx_lm_and_answers(build: Path, reports: Path) -> None:
    """Through mlx-lm's own load and generate, in a process that knows nothing of the harness's models."""
    code = (
        "import sys, phase8.engine; from mlx_lm import load, generate\n"
        "for folder in sys.argv[1:]:\n"
        "    model, tokenizer = load(folder)\n"
        "    prompt = tokenizer.apply_chat_template([{'role': 'user', 'content': 'hi'}], add_generation_prompt=True)\n"
        "    print(repr(generate(model, tokenizer, prompt, max_tokens=4)))\n"
    )
    folders = [str(path) for path in (build / "fused").iterdir()]
    ran = subprocess.run([sys.executable, "-c", code, *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == len(folders) == 14  # six widths twice, the float, the other recipe


def test_a_variant_that_misses_its_target_turns_the_run_red(build: Path, reports: Path, tmp_path: Path) -> None:
    """The base, called production: the run fails and names it."""
    profile = (PROFILES / "pocket.toml").read_text().replace('base = "control"', 'base = "production"')
    mine = tmp_path / "pocket.toml"
    mine.write_text(profile)
    ran = harness("run", "--profile", mine, "--build", build, "--reports", tmp_path / "r", "--variant", "base")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    verdict = load_verdict(tmp_path / "r")
    assert verdict.exit_code == 1
    assert any(reason.startswith("base: canonical: fail") for reason in verdict.reasons)
