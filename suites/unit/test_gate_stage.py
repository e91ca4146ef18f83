"""``python -m harness gate`` on files: exit codes, what is written, and no MLX."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phase8.cli import gate_files as gate_stage
from phase8.cli.main import main
from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.drawing.svg import Chart
from phase8.history import lanes as history
from phase8.record.files import save_run, save_verdict
from phase8.record.run import RunRecord, VerdictFile
from suites.unit import records
from suites.unit.gates import COMMIT, LANE, PRODUCTION, losing, whole_run, with_variant


def saved(folder: Path, run: RunRecord) -> Path:
    """A reports folder with a run that passed."""
    folder.mkdir(parents=True)
    save_run(run, folder)
    save_verdict(VerdictFile(exit_code=0, outcome="pass", reasons=(), partial=False), folder)
    return folder


@pytest.fixture(autouse=True)
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written without their charts, which take a second each time and are drawn in other tests."""
    monkeypatch.setattr("phase8.report.html.charts", lambda rows: ())
    monkeypatch.setattr("phase8.report.html.training_chart", lambda training: Chart("loss", "", ""))


@pytest.fixture
def accepted(tmp_path: Path) -> Path:
    """A history that holds a baseline of ``pocket``."""
    folder = saved(tmp_path / "baseline", whole_run())
    history.accept(str(folder), "the first", tmp_path / "build", tmp_path / "history", [])
    return tmp_path / "history"


def arguments(tmp_path: Path, *given: str | Path) -> list[str]:
    """The gate's arguments with the test's own folders."""
    folders = ["--history", tmp_path / "history", "--reports", tmp_path / "out", "--build", tmp_path / "build"]
    return ["gate", *map(str, given), *map(str, folders), "--commit", COMMIT]


def written(tmp_path: Path) -> dict:
    """What gate.json says."""
    return json.loads((tmp_path / "out" / "gate.json").read_text())


def test_the_same_run_is_fine(tmp_path: Path, accepted: Path) -> None:
    """Exit code 0; the baseline and its reason are in the report."""
    run = saved(tmp_path / "run", whole_run()) / "run.json"
    assert main(arguments(tmp_path, "--results", run)) == 0
    report = written(tmp_path)
    assert (report["outcome"], report["exit_code"], report["accepted"]) == ("fine", 0, "the first")
    assert "accepted: the first" in (tmp_path / "out" / "gate.md").read_text()


def test_a_regression_is_named_and_joins_the_job_summary(
    tmp_path: Path, accepted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was there before stays there."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run = saved(tmp_path / "run", losing(whole_run(), PRODUCTION, 20))
    assert main(arguments(tmp_path, "--results", run)) == 1
    assert f"regressed: {PRODUCTION}: accuracy: 20 lost" in capsys.readouterr().out
    assert summary.read_text().startswith("before\n# Regressed")


def test_one_page_shows_the_gate_and_the_run(tmp_path: Path, accepted: Path) -> None:
    """The gate first; the run's own report and its Markdown are there too."""
    run = saved(tmp_path / "run", losing(whole_run(started="2026-03-01T09:00:00Z"), PRODUCTION, 20))
    assert main(arguments(tmp_path, "--results", run)) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("<h1>Regressed") < page.index("20 lost") < page.index('id="run"') < page.index('id="gates"')
    assert "1 earlier run; its course is drawn from 2 on" in page
    assert (tmp_path / "out" / "report.md").read_text().startswith("# PASS")


def test_a_run_without_a_baseline_is_shown_all_the_same(tmp_path: Path) -> None:
    """And one that cannot be read leaves a page that says so."""
    run = saved(tmp_path / "run", whole_run())
    assert main(arguments(tmp_path, "--results", run)) == 2
    assert 'id="run"' in (tmp_path / "out" / "report.html").read_text()
    (run / "run.json").write_text("{")
    assert main(arguments(tmp_path, "--results", run)) == 2
    assert "There is no run to show" in (tmp_path / "out" / "report.html").read_text()


def test_inconclusive_is_three(tmp_path: Path, accepted: Path) -> None:
    """Not being able to show a loss is not the same as there being none."""
    run = saved(tmp_path / "run", losing(whole_run(), PRODUCTION, 3))
    assert main(arguments(tmp_path, "--results", run)) == 3


def test_a_run_of_the_history_can_be_judged_too(tmp_path: Path, accepted: Path) -> None:
    """It is a run like any other."""
    path = history.keep(saved(tmp_path / "run", whole_run()), tmp_path / "kept")
    assert main(arguments(tmp_path, "--results", path)) == 0


def test_no_baseline_is_invalid_and_says_the_next_step(tmp_path: Path) -> None:
    """Nothing to compare with is no pass."""
    run = saved(tmp_path / "run", whole_run())
    assert main(arguments(tmp_path, "--results", run)) == 2
    assert "history accept" in written(tmp_path)["reasons"][0]


def test_a_corrupted_baseline_is_invalid(tmp_path: Path, accepted: Path) -> None:
    """With the name of the file."""
    path = next((accepted / LANE).glob("*.json"))
    path.write_text(path.read_text().replace('"process_peak_bytes": 300000000', '"process_peak_bytes": 900000000', 1))
    assert main(arguments(tmp_path, "--results", saved(tmp_path / "run", whole_run()))) == 2
    assert str(path) in written(tmp_path)["reasons"][0]


def test_another_schema_is_invalid(tmp_path: Path, accepted: Path) -> None:
    """There is no migration for it."""
    path = saved(tmp_path / "run", whole_run()) / "run.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 99', 1))
    assert main(arguments(tmp_path, "--results", path)) == 2
    assert "schema_version: found 99" in written(tmp_path)["reasons"][0]


def test_a_run_of_another_commit_is_invalid(tmp_path: Path, accepted: Path) -> None:
    """Yesterday's results say nothing of today's change."""
    run = saved(tmp_path / "run", whole_run(environment=records.environment(commit="f" * 40)))
    assert main(arguments(tmp_path, "--results", run)) == 2


def test_a_profile_that_is_not_shipped_must_be_given(tmp_path: Path, accepted: Path) -> None:
    """A run's own name for it is no file."""
    run = saved(tmp_path / "run", whole_run(profile="mine", lane="mine--x"))
    assert main(arguments(tmp_path, "--results", run)) == 2
    assert "give --profile" in written(tmp_path)["reasons"][0]


def test_the_gate_on_results_needs_no_mlx(tmp_path: Path, accepted: Path) -> None:
    """In a process where importing it, or a library of models, raises."""
    run = saved(tmp_path / "run", whole_run())
    given = arguments(tmp_path, "--results", run)
    code = (
        "import sys\n"
        "for name in ('mlx', 'mlx.core', 'mlx_lm', 'transformers', 'tokenizers'):\n    sys.modules[name] = None\n"
        f"from phase8.cli.main import main\nsys.exit(main({given!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FINE" in ran.stdout


def test_the_commit_of_the_checkout_is_the_one_that_must_have_been_measured() -> None:
    """By any name that git knows, or by all its digits."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("not a git checkout")
    assert gate_stage.commit_of(None) == gate_stage.commit_of("HEAD") == head.stdout.strip()
    assert gate_stage.commit_of(COMMIT) == COMMIT
    with pytest.raises(gate_stage.InvalidInput, match="no commit of this checkout"):
        gate_stage.commit_of("no-such-branch")


def test_without_results_phase_8_is_run_and_then_judged(
    tmp_path: Path, accepted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same rules; the run is replaced here by one that was measured before."""
    from phase8.cli import gate as gate_commands

    def run_phase8(options) -> int:
        assert (options.profile, options.variant, options.plan) == ("pocket", [], False)
        saved(options.reports, with_variant(whole_run(), PRODUCTION, size_bytes=2_000_000))
        return 0

    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setattr(gate_commands, "run_phase8", run_phase8)
    given = arguments(tmp_path, "--profile", "pocket")[:-2]
    assert main(given) == 1
    assert written(tmp_path)["reasons"][0].startswith(f"{PRODUCTION}: size")
    told = summary.read_text()
    assert told.startswith("# Regressed")
    assert (told.count("# Regressed"), told.count("\n# PASS")) == (1, 1)


@pytest.mark.parametrize(("refuses", "said"), [(True, "the corpus is empty"), (False, "Phase 8 ended with 1")])
def test_a_refusal_of_phase_8_takes_the_place_of_what_an_earlier_gate_said(
    tmp_path: Path, accepted: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool, said: str
) -> None:
    """Invalid with the reason; a report that says fine, or an earlier run, would be taken for this one's."""
    from phase8.cli import gate as gate_commands

    def run_phase8(options) -> int:
        if refuses:
            raise InvalidInput("the corpus is empty")
        (options.reports / "run.json").unlink()
        return 1

    assert main(arguments(tmp_path, "--results", saved(tmp_path / "run", whole_run()) / "run.json")) == 0
    assert written(tmp_path)["outcome"] == "fine"
    save_run(whole_run(), tmp_path / "out")
    monkeypatch.setattr(gate_commands, "run_phase8", run_phase8)
    assert main(arguments(tmp_path, "--profile", "pocket")[:-2]) == 2
    report = written(tmp_path)
    assert (report["outcome"], report["run"]) == ("invalid", None)
    assert said in report["reasons"][0]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"gate.json", "gate.md", "report.html"}


def test_a_run_whose_pytest_did_not_end_well_is_invalid(
    tmp_path: Path, accepted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something was not run to its end, whatever its verdicts say."""
    from phase8.cli import gate as gate_commands

    def run_phase8(options) -> int:
        saved(options.reports, whole_run(pytest_status=3))
        return 1

    monkeypatch.setattr(gate_commands, "run_phase8", run_phase8)
    assert main(arguments(tmp_path, "--profile", "pocket")[:-2]) == 2
    (reason,) = written(tmp_path)["reasons"]
    assert reason == "run: pytest: pytest ended with 3 (an internal error of pytest): the run is not whole"


def test_bad_input_leaves_the_last_reports_alone(tmp_path: Path, accepted: Path) -> None:
    """A profile that does not exist is no gate run."""
    assert main(arguments(tmp_path, "--results", saved(tmp_path / "run", whole_run()) / "run.json")) == 0
    assert main(arguments(tmp_path, "--profile", "pockt")[:-2]) == 2
    assert written(tmp_path)["outcome"] == "fine"


def shard(names: list[str], **overrides) -> RunRecord:
    """The part of a whole run that names some variants, with the controls that every run judges."""
    run = whole_run(**overrides)
    others = {variant.name for variant in run.variants} - set(names)
    kept = tuple(verdict for verdict in run.verdicts if verdict.variant not in others)
    variants = tuple(variant for variant in run.variants if variant.name in names)
    return run.model_copy(update={"variants": variants, "verdicts": kept, "partial": True})


FIRST, SECOND = ["base", "adapter", "fused-8bit"], ["base", "fused-6bit", "fused-5bit", "fused-4bit"]


def test_shards_are_joined_and_judged(tmp_path: Path, accepted: Path) -> None:
    """The base, which timings are compared with, is in both."""
    for name, variants in (("a", FIRST), ("b", SECOND)):
        saved(tmp_path / "shards" / name, shard(variants))
    assert main(arguments(tmp_path, "--merge", tmp_path / "shards")) == 0
    joined = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [variant["name"] for variant in joined["variants"]] == [v.name for v in whole_run().variants]
    assert joined["partial"] is False


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda: shard(SECOND[:-1]), "incomplete: no shard measured fused-4bit"),
        (lambda: shard([*SECOND, "fused-8bit"]), "variant fused-8bit is in"),
        (lambda: shard(SECOND, environment=records.environment(commit="f" * 40)), "commit is 'ffff"),
        (lambda: shard(SECOND, lane="pocket--other"), "lane is not that of"),
        (lambda: shard(SECOND, profile_hash="beef"), "profile_hash is not that of"),
        (lambda: shard(SECOND, artefacts={"base": "another"}), "artefact base is 'another'"),
        (lambda: with_variant(shard(SECOND), "base", artefact="another"), "base is not the artefact"),
        (
            lambda: shard(SECOND, verdicts=(records.verdict("always-call", "control", "fail", role="control"),)),
            "always-call: control is fail",
        ),
    ],
    ids=["incomplete", "twice", "commit", "lane", "profile", "artefact", "base", "control"],
)
def test_shards_that_are_no_run_are_refused(
    tmp_path: Path, accepted: Path, second: Callable[[], RunRecord], message: str
) -> None:
    """With the shard and the fault."""
    saved(tmp_path / "shards" / "a", shard(FIRST))
    saved(tmp_path / "shards" / "b", second())
    assert main(arguments(tmp_path, "--merge", tmp_path / "shards")) == 2
    assert message in written(tmp_path)["reasons"][0]
    assert not (tmp_path / "out" / "run.json").exists()


def test_no_shards_are_refused(tmp_path: Path, accepted: Path) -> None:
    """An empty folder is no run."""
    (tmp_path / "shards").mkdir()
    assert main(arguments(tmp_path, "--merge", tmp_path / "shards")) == 2
    assert "no run.json below it" in written(tmp_path)["reasons"][0]


def test_holm_is_made_anew_over_all_shards(tmp_path: Path) -> None:
    """What is regressed alone need not be in a family of three."""
    from phase8.shards.join import merge
    from suites.unit.gates import PROFILE

    def with_loss(run: RunRecord, name: str, p: float) -> RunRecord:
        made = records.loss(p=p, adjusted_p=p, family=1, bound=0.2, outcome="regressed", lost=("a",))
        verdict = records.verdict(name, "accuracy vs adapter", "fail", paired=made)
        kept = tuple(v for v in run.verdicts if (v.variant, v.gate) != (name, "accuracy vs adapter"))
        return run.model_copy(update={"verdicts": (*kept, verdict)})

    one, two = with_loss(shard(FIRST), "fused-8bit", 0.03), with_loss(shard(SECOND), "fused-5bit", 0.04)
    joined = merge({"a": one, "b": two}, PROFILE)
    found = {v.variant: v for v in joined.verdicts if v.paired}
    assert {name: (v.paired.adjusted_p, v.paired.family, v.status) for name, v in found.items() if v.paired} == {
        "fused-8bit": (0.06, 2, "inconclusive"),
        "fused-5bit": (0.06, 2, "inconclusive"),
    }
