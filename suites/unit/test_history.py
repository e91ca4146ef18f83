"""The history: what is kept can be read by pytest-benchmark, merges in git, and does not lie when it is damaged."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phase8.cli.main import main
from phase8.core.errors import InvalidInput
from phase8.history import lanes as history
from phase8.history.file import REPLIES, Summary, VariantSummary, read, read_summary, summarise
from phase8.record.files import save_run, save_verdict
from phase8.record.run import RunRecord, VerdictFile
from phase8.report.history import course, page
from phase8.stats.change_points import LEAST_RUNS, change_points
from suites.unit import ladders, records

LANE = "m1-max-qwen3-coder-30b"
BENCH = """
import pytest
@pytest.mark.parametrize("variant_name", ["fused-5bit"])
def test_fixed_work(benchmark, variant_name):
    benchmark.pedantic(sum, args=([1, 2, 3],), rounds=5)
"""


@pytest.fixture(scope="module")
def benchmark_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the installed pytest-benchmark writes of one small test."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "test_bench.py").write_text(BENCH)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-json=benchmark.json", "."]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "benchmark.json"


def reports(folder: Path, record: RunRecord, benchmarks: Path | None = None, code: int = 0) -> Path:
    """A reports folder as a finished run leaves it."""
    folder.mkdir(parents=True)
    save_run(record, folder)
    outcome = {0: "pass", 1: "fail", 3: "inconclusive"}[code]
    values = {"exit_code": code, "outcome": outcome, "reasons": (), "partial": record.partial}
    save_verdict(VerdictFile.model_validate(values), folder)
    if benchmarks:
        shutil.copy(benchmarks, folder / "benchmark.json")
    return folder


def command(tmp_path: Path, *arguments: str | Path) -> int:
    """One ``history`` action on the test's own folders."""
    where = ["--build", str(tmp_path / "build"), "--history", str(tmp_path / "accepted")]
    return main(["history", *[str(argument) for argument in arguments], *where])


def damaged(path: Path, before: str, after: str) -> None:
    """The file with some text replaced."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def summaries(values: list[float], **overrides: Any) -> list[Summary]:
    """One summary a value, its decode rate."""
    return [
        Summary(
            lane=LANE,
            profile="pocket",
            started=f"2026-01-{1 + i // 24:02}T{i % 24:02}:00:00+00:00",
            commit=f"{i:07x}",
            dirty=False,
            partial=False,
            exit_code=0,
            outcome="pass",
            variants=(
                VariantSummary(
                    name=overrides.get("name", "fused-5bit"),
                    role="production",
                    right=20,
                    asked=20,
                    decode_tokens_per_s=value,
                    memory_bytes=10**9,
                ),
            ),
        )
        for i, value in enumerate(values)
    ]


def test_a_kept_run_comes_back_whole(tmp_path: Path, benchmark_json: Path) -> None:
    """Replies beside it, benchmarks in it."""
    record = records.record()
    path = history.keep(reports(tmp_path / "r", record, benchmark_json), tmp_path / "h")
    stored = read(path)
    assert stored.record == record
    assert stored.benchmarks == json.loads(benchmark_json.read_text())
    assert path.parent.name == LANE
    assert path.name.startswith("2026_0214T090000Z_0123abc_")
    assert '"text"' not in path.read_text()


def test_pytest_benchmark_reads_the_history_and_finds_the_same_medians(tmp_path: Path, benchmark_json: Path) -> None:
    """Its ``compare`` without arguments takes every run, from our storage folder."""
    for day in (14, 15):
        made = records.record(started=f"2026-02-{day}T09:00:00Z")
        history.keep(reports(tmp_path / str(day), made, benchmark_json), tmp_path / "h")
    arguments = ["--storage", f"file://{tmp_path / 'h'}", "compare", "--csv", str(tmp_path / "out"), "--columns=median"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Failed to load" not in ran.stdout + ran.stderr
    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    theirs = sorted(float(line.rpartition(",")[2]) for line in lines)
    ours = sorted(read(run.path).medians_s().popitem()[1] for run in history.listed(tmp_path / "h", LANE))
    assert len(lines) == 2
    assert theirs == ours


def test_compare_prints_the_medians(tmp_path: Path, benchmark_json: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of both runs, in seconds, with their ratio."""
    for day in (14, 15):
        made = records.record(started=f"2026-02-{day}T09:00:00Z")
        history.keep(reports(tmp_path / str(day), made, benchmark_json), tmp_path / "build" / "history")
    assert command(tmp_path, "compare", "0214T", "0215T") == 0
    median = json.loads(benchmark_json.read_text())["benchmarks"][0]["stats"]["median"]
    out = capsys.readouterr().out
    assert out.count(f"{median:.9g}") == 2
    assert "1.000" in out


def test_two_branches_never_write_the_same_name(tmp_path: Path) -> None:
    """Runs that started in the same second of the same commit differ by their hash."""
    one, two = records.record(), records.record(seconds=1801.0)
    paths = {history.keep(reports(tmp_path / f"{i}", made), tmp_path / "h") for i, made in enumerate((one, two, one))}
    assert len({path.name for path in paths}) == 3 - 1


def test_listing_reads_the_first_line_of_a_run_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that thousands of runs list at once; what follows is verified when a run is used."""
    path = history.keep(reports(tmp_path / "r", records.record()), tmp_path / "build" / "history")
    first = path.read_text().partition("\n")[0]
    path.write_text(f"{first}\nnothing that could be parsed")
    assert command(tmp_path, "list") == 0
    assert path.stem in capsys.readouterr().out
    assert command(tmp_path, "show", path.stem) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after"),
    [('"seconds": 1800.0', '"seconds": 1801.0'), ('"exit_code": 0', '"exit_code": 1'), ('"summary": {', '"summary": ')],
    ids=["a number of the record", "the outcome", "broken JSON"],
)
def test_a_damaged_run_is_refused_by_name(tmp_path: Path, before: str, after: str) -> None:
    """Whatever was changed."""
    path = history.keep(reports(tmp_path / "r", records.record()), tmp_path / "h")
    damaged(path, before, after)
    with pytest.raises(InvalidInput, match=f"{path}: damaged"):
        read(path)


def test_a_file_from_before_a_field_of_the_summary_is_still_whole(tmp_path: Path) -> None:
    """Its hash is of the text it has, not of the text it would have today."""
    path = history.keep(reports(tmp_path / "r", records.record()), tmp_path / "h")
    digest = read(path).summary.digest
    text = re.sub(r', "margin": (null|[-+.e0-9]+)', "", path.read_text())
    assert text != path.read_text()
    old = hashlib.sha256(text.replace(digest, "").encode()).hexdigest()
    kept = path.with_name(path.name.replace(digest[:10], old[:10]))
    kept.write_text(text.replace(digest, old))
    path.with_name(path.stem + REPLIES).rename(kept.with_name(kept.stem + REPLIES))
    assert [variant.margin for variant in read(kept).summary.variants] == [None] * len(records.record().variants)
    damaged(kept, '"exit_code": 0', '"exit_code": 1')
    with pytest.raises(InvalidInput, match="damaged"):
        read(kept)


def test_the_decision_margin_is_a_trend_of_the_lane() -> None:
    """From the ladder, where the run has one."""
    ladder = ladders.ladder(ladders.rung())
    runs = []
    for survival in (None, ladder):
        record = records.record(survival=survival)
        verdict = VerdictFile(exit_code=0, outcome="pass", reasons=(), partial=False)
        runs.append(summarise(record, verdict))
    margins = [{variant.name: variant.margin for variant in run.variants}["fused-5bit"] for run in runs]
    assert margins == [None, ladder.rungs[0].margin.value]
    charts = {chart.title: chart for chart in course(runs).charts}
    assert charts["Decision margin, ln odds"].svg


def test_replies_that_are_missing_or_others_are_refused(tmp_path: Path) -> None:
    """They are what accuracy is compared on."""
    path = history.keep(reports(tmp_path / "r", records.record()), tmp_path / "h")
    beside = path.with_name(path.stem + REPLIES)
    raw = gzip.decompress(beside.read_bytes())
    beside.write_bytes(gzip.compress(raw.replace(b'"call"', b'"answer"', 1)))
    with pytest.raises(InvalidInput, match="not the replies that"):
        read(path)
    beside.write_bytes(beside.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(path)
    beside.unlink()
    with pytest.raises(InvalidInput, match="replies of .* are missing"):
        read(path)


def test_a_damaged_line_is_listed_as_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the list does not end as if all were well."""
    path = history.keep(reports(tmp_path / "r", records.record()), tmp_path / "build" / "history")
    path.write_text("")
    assert command(tmp_path, "list") == 2
    assert "damaged" in capsys.readouterr().out


def test_a_lane_cannot_lead_out_of_the_history(tmp_path: Path) -> None:
    """It is read from a file that may come from elsewhere."""
    made = records.record(lane="../../elsewhere")
    with pytest.raises(InvalidInput, match="no plain name"):
        history.keep(reports(tmp_path / "r", made), tmp_path / "h")


def test_an_accepted_run_is_the_baseline_and_keeps_its_reason(tmp_path: Path) -> None:
    """The one accepted last, even where its run is older."""
    newer = reports(tmp_path / "new", records.record(started="2026-03-01T00:00:00Z"))
    older = history.keep(reports(tmp_path / "old", records.record()), tmp_path / "build" / "history")
    assert command(tmp_path, "accept", newer, "--reason", "first") == 0
    assert command(tmp_path, "accept", older.stem, "--reason", "the newer one was a fluke") == 0
    found = history.baseline(tmp_path / "accepted", LANE)
    assert found.summary.accepted
    assert found.summary.accepted.reason == "the newer one was a fluke"
    assert found.record == records.record()


@pytest.mark.parametrize(
    ("made", "code", "fault"),
    [
        (lambda: records.record(), 1, "failed"),
        (lambda: records.record(), 3, "inconclusive"),
        (lambda: records.record(verdicts=(records.verdict(status="fail"),)), 0, "failed"),
        (lambda: records.record(partial=True), 0, "partial"),
        (lambda: records.record(environment=records.environment(dirty=True)), 0, "dirty"),
        (lambda: records.record(environment=records.environment(commit=None, dirty=None)), 0, "dirty"),
    ],
    ids=["failed", "inconclusive", "failed, whatever verdict.json says", "partial", "dirty", "no commit"],
)
def test_a_run_that_is_no_baseline_is_refused_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Callable[[], RunRecord], code: int, fault: str
) -> None:
    """The message gives the flag."""
    folder = reports(tmp_path / "r", made(), code=code)
    assert command(tmp_path, "accept", folder, "--reason", "why not") == 2
    assert f"--allow {fault}" in capsys.readouterr().err
    assert not (tmp_path / "accepted").exists()
    assert command(tmp_path, "accept", folder, "--reason", "known", "--allow", fault) == 0


def test_accepting_without_a_reason_or_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the history needs one."""
    folder = reports(tmp_path / "r", records.record())
    assert command(tmp_path, "accept", folder, "--reason", "  ") == 2
    assert "--reason is empty" in capsys.readouterr().err
    assert command(tmp_path, "accept", "no-such-run", "--reason", "x") == 2
    assert "'no-such-run' is not in the history" in capsys.readouterr().err


def test_no_baseline_says_the_next_step(tmp_path: Path) -> None:
    """And which lanes have one."""
    with pytest.raises(InvalidInput, match=r"no baseline: .*(lanes that have one: none).*history accept"):
        history.baseline(tmp_path, LANE)


def test_a_baseline_of_another_machine_is_refused(tmp_path: Path) -> None:
    """A file that was moved into this lane's folder."""
    path = history.accept(str(reports(tmp_path / "r", records.record())), "x", tmp_path, tmp_path / "a", [])
    shutil.copytree(path.parent, tmp_path / "a" / "other-lane")
    with pytest.raises(InvalidInput, match="a baseline from another lane, m1-max"):
        history.baseline(tmp_path / "a", "other-lane")


def test_one_damaged_file_keeps_a_lane_from_having_a_baseline(tmp_path: Path) -> None:
    """It might be the newest."""
    for day in (14, 15):
        folder = reports(tmp_path / str(day), records.record(started=f"2026-02-{day}T09:00:00Z"))
        path = history.accept(str(folder), "x", tmp_path, tmp_path / "a", [])
    path.write_text(path.read_text()[40:])
    with pytest.raises(InvalidInput, match="damaged"):
        history.baseline(tmp_path / "a", LANE)


def test_a_step_is_found_where_it_is() -> None:
    """PELT on a series with one lasting change and noise."""
    import numpy as np

    noise = np.random.default_rng(0).normal(size=60)
    assert change_points([100 + e + (5 if i >= 40 else 0) for i, e in enumerate(noise)]) == [40]
    assert change_points([69.0] * 30 + [60.0] * 30) == [30]


def test_one_odd_run_is_no_lasting_change() -> None:
    """Nor is a constant series, or one that is too short to tell."""
    assert change_points([69.0] * 30 + [60.0] + [69.0] * 30) == []
    assert change_points([1.0] * 50) == []
    assert change_points([1.0] * 9 + [5.0] * (LEAST_RUNS - 10)) == []


def test_steady_noise_is_seldom_called_a_change() -> None:
    """Under 10 % of series at 20, 60 and 200 runs."""
    import numpy as np

    rng = np.random.default_rng(1)
    for runs in (LEAST_RUNS, 60, 200):
        alarms = sum(bool(change_points(list(rng.normal(size=runs)))) for _ in range(200))
        assert alarms < 20, (runs, alarms)


def test_the_page_names_a_change_and_its_commit_and_loads_nothing() -> None:
    """Values before and after, without JavaScript; names from a record stay text."""
    text = page(LANE, summaries([100.0] * 30 + [95.0] * 30, name="<script>alert(1)</script>"))
    assert "<td>100</td><td>95</td>" in text
    assert f"<td>{30:07x}</td>" in text
    assert "<script" not in text
    assert "://" not in text.replace("http://www.w3.org", "").replace("https://www.w3.org", "")
    assert text.count("<svg") == 3


def test_the_runs_before_a_run_are_those_of_its_lane_that_started_earlier(tmp_path: Path) -> None:
    """Itself last, once; an accepted copy stands for its run, a damaged file is counted."""
    kept, accepted = tmp_path / "kept", tmp_path / "accepted"
    for day in (3, 1, 2, 4):
        found = records.record(lane=LANE, started=f"2026-02-0{day}T09:00:00Z")
        history.keep(reports(tmp_path / f"r{day}", found), kept)
    history.accept(str(tmp_path / "r1"), "the first", kept, accepted, [])
    (kept / LANE / "2026_0101T000000Z_x_0.json").write_text("damaged")
    (kept / "another").mkdir()
    shown = records.record(lane=LANE, started="2026-02-03T10:00:00+01:00")  # the same moment, told otherwise
    found = history.runs_until(shown, (kept, accepted))
    assert [run.started[:10] for run in found.runs] == ["2026-02-01", "2026-02-02", "2026-02-03"]
    assert [bool(run.accepted) for run in found.runs] == [True, False, False]
    assert (found.earlier, found.damaged, found.older) == (2, 1, 0)
    latest = history.runs_until(shown, (kept, accepted), most=2)
    assert ([run.started[:10] for run in latest.runs], latest.earlier) == (["2026-02-02", "2026-02-03"], 2)


def test_a_lane_that_is_no_plain_name_has_no_history(tmp_path: Path) -> None:
    """A record from elsewhere must not lead out of the folder."""
    assert history.runs_until(records.record(lane="../../etc"), (tmp_path,)).earlier == 0


def test_plot_writes_a_page_a_lane(tmp_path: Path) -> None:
    """From the first lines of the runs."""
    history.keep(reports(tmp_path / "r", records.record()), tmp_path / "build" / "history")
    assert command(tmp_path, "plot", "--out", tmp_path / "plots") == 0
    assert "Changes are looked for from 20 runs on" in (tmp_path / "plots" / f"{LANE}.html").read_text()


def test_the_summary_is_that_of_the_run(tmp_path: Path) -> None:
    """Held-out counts, the median decode rate, the judged memory."""
    found = read_summary(history.keep(reports(tmp_path / "r", records.record()), tmp_path / "h")).variants[0]
    assert (found.right, found.asked, found.decode_tokens_per_s, found.memory_bytes) == (20, 20, 101.0, 20_000_000_000)
