"""Shards joined: the ladder, what failed, what was made apart; and how a run is divided into them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.ledger import Ledger
from phase8.cli.shards import merge_shards
from phase8.core.errors import InvalidInput
from phase8.profile import loading
from phase8.profile.profile import Profile
from phase8.record.files import load_verdict, save_run
from phase8.record.ladder import LadderRecord
from phase8.record.run import RunRecord
from phase8.shards.join import merge, merged_benchmarks
from phase8.shards.plan import shards
from suites.unit import ladders, records
from suites.unit.gates import PROFILE
from suites.unit.test_gate_stage import FIRST, SECOND, shard


def scored(names: list[str], ladder: LadderRecord, **overrides) -> RunRecord:
    """A shard with its part of the ladder, of a run that names three widths more than any shard scores."""
    run = shard(names, **overrides)
    rungs = ["fused-float", "base", "adapter", "fused-8bit", "fused-5bit", "fused-3bit"]
    artefacts = run.artefacts | {f"scores {name}": f"scores-{name}" for name in rungs}
    return run.model_copy(update={"survival": ladder, "artefacts": artefacts})


def test_the_rungs_of_all_shards_stand_in_the_ladders_order_and_the_answer_is_theirs() -> None:
    """A rung in two shards is there once; what no shard scored is said."""
    reference = ladders.rung(None, variant="fused-float", judged=False)
    one = ladders.ladder(ladders.rung(5), reference)
    two = ladders.ladder(ladders.rung(8), reference)
    joined = merge({"a": scored(SECOND, one), "b": scored(FIRST, two)}, PROFILE).survival
    assert joined is not None
    assert [rung.variant for rung in joined.rungs] == ["fused-float", "fused-8bit", "fused-5bit"]
    assert joined.answer is not None
    assert [width.bits for width in joined.answer.widths] == [5, 8]
    assert joined.answer.notes[-1].startswith("No shard scored base, adapter, fused-3bit")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: ladders.ladder(ladders.rung(5, size_bytes=1)),
            "rungs of fused-5bit are not those of another shard",
        ),
        (lambda: ladders.ladder(ladders.rung(8), rows=3), "the ladder's rows is 3, 69 in a"),
    ],
    ids=["rung", "rows"],
)
def test_shards_whose_ladders_disagree_are_refused(other: Callable[[], LadderRecord], message: str) -> None:
    """They did not measure the same artefacts, or not on the same rows."""
    one = ladders.ladder(ladders.rung(5))
    with pytest.raises(InvalidInput, match=message):
        merge({"a": scored(FIRST, one), "b": scored(SECOND, other())}, PROFILE)


def test_a_shard_without_what_timings_are_compared_with_is_refused() -> None:
    """Its decode ratio would be applicable to nobody, in a run that calls itself whole."""
    lacking = shard([name for name in SECOND if name != "base"])
    with pytest.raises(InvalidInput, match="b: it did not measure base.*--variant base too"):
        merge({"a": shard(FIRST), "b": lacking}, PROFILE)


def test_adapters_that_were_trained_apart_are_refused() -> None:
    """With what to do: one store for all shards."""
    apart = shard(SECOND, training=records.training(tokens_per_second=1.0))
    with pytest.raises(InvalidInput, match="b: training was done apart from that of a.*--build"):
        merge({"a": shard(FIRST), "b": apart}, PROFILE)


def test_a_test_that_failed_in_one_shard_fails_the_joined_run(tmp_path: Path) -> None:
    """An error while timing has no verdict, and is no pass."""
    parts = {"first": shard(FIRST), "second": shard(SECOND, failures=("test_latency.py::test_load[fused-5bit]",))}
    for name, run in parts.items():
        (tmp_path / name).mkdir()
        save_run(run, tmp_path / name)
    found = {str(tmp_path / name / "run.json"): run for name, run in parts.items()}
    joined = merge_shards(found, PROFILE, tmp_path / "out", tmp_path / "build")
    assert joined.failures == ("test_latency.py::test_load[fused-5bit]",)
    verdict = load_verdict(tmp_path / "out")
    assert (verdict.exit_code, verdict.reasons) == (1, ("test_latency.py::test_load[fused-5bit] failed",))
    assert {"report.html", "report.md", "run.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_what_another_run_left_in_the_reports_does_not_join_this_one(tmp_path: Path) -> None:
    """Its timings would be accepted with the merged run."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "benchmark.json").write_text("{}")
    parts = {str(tmp_path / "a" / "run.json"): shard(FIRST), str(tmp_path / "b" / "run.json"): shard(SECOND)}
    merge_shards(parts, PROFILE, tmp_path / "out", tmp_path / "build")
    assert not (tmp_path / "out" / "benchmark.json").exists()


def test_a_benchmark_of_two_shards_has_the_timings_of_the_first() -> None:
    """As the record of its variant has."""
    common = {"machine_info": {}, "commit_info": {}, "datetime": "", "version": "5"}
    parts = [
        {**common, "benchmarks": []},
        {**common, "benchmarks": [{"fullname": "load[base]", "stats": 1}]},
        {**common, "benchmarks": [{"fullname": "load[base]", "stats": 2}, {"fullname": "load[a]", "stats": 3}]},
    ]
    assert [found["stats"] for found in merged_benchmarks(parts)["benchmarks"]] == [1, 3]


def test_a_failed_test_that_no_verdict_speaks_for_is_recorded() -> None:
    """A gate that failed has its verdict; one whose verdict is fine and that failed while tearing down has none."""
    ledger = Ledger(None)  # ty: ignore[invalid-argument-type]  # its options are not asked for
    ledger._owed = {"gate[a]": ("a", "production", "memory"), "gate[b]": ("b", "production", "memory")}
    ledger.verdicts = [records.verdict("a", "memory", "fail"), records.verdict("b", "memory", "pass")]
    for nodeid in ("gate[a]", "gate[b]", "timing[a]", "timing[a]"):
        ledger.failed(nodeid)
    assert ledger.unexplained() == ("gate[b]", "timing[a]")


def test_every_variant_is_in_one_shard_and_the_adapter_in_the_first(subtests: pytest.Subtests) -> None:
    """But the one that timings are compared with, which is in all."""
    for name in ["pocket", "smollm2", "qwen3-coder-30b", "qwen25-coder-7b"]:
        with subtests.test(name=name):
            found = loading.load(name).profile
            divided, shared = shards(found), found.budgets.latency.relative_to
            own = [variant for one in divided for variant in one.variants if variant != shared]
            assert sorted(own) == sorted(set(found.variant_names()) - {shared})
            assert divided[0].name == "adapter"
            assert all(shared in one.variants for one in divided if shared)
            assert {one.bits for one in divided if one.bits} == set(found.fuse.widths if found.fuse else ())


def test_a_profile_of_one_variant_is_one_shard() -> None:
    """Even where it is the one that timings are compared with."""
    raw = PROFILE.model_dump(mode="json") | {"training": None, "fuse": None, "survival": None, "roles": {}, "gate": {}}
    assert [one.variants for one in shards(Profile.model_validate(json.loads(json.dumps(raw))))] == [("base",)]
