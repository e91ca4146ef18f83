"""Variants measured in processes of their own, in step; their rounds played to pytest-benchmark."""

import subprocess
import sys
from pathlib import Path

import pytest

from phase8.cases.cases import Case
from phase8.cases.jobs import Work
from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.measure.benchmark_replay import Replay, recorded
from phase8.measure.side_by_side import Measurement, measure
from phase8.profile.limits import LatencyWork
from phase8.profile.sections import Prompting
from phase8.record.run import Reply, Samples
from suites.unit import tiny

CASES = tuple(
    Case(id=name, suite="canonical", turn=1, label="direct", query=name, messages=({"role": "user", "content": name},))
    for name in ("find it", "call a.py")
)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Work:
    """A tiny model with two queries and three rounds of fixed work."""
    root = tmp_path_factory.mktemp("measure")
    (root / "tokenizer").mkdir()
    tokenizer = tiny.tokenizer_folder(root / "tokenizer")
    folder = tiny.model_folder(root / "model", tokenizer, tiny.TIED, group_size=32, bits=4)
    return Work(
        folder=folder,
        adapter=None,
        cases=CASES,
        prompting=Prompting(format="fenced", stop_sequences=("<|im_end|>",), max_tokens=6),
        tools=[],
        latency=LatencyWork(prefill_tokens=8, decode_tokens=3, rounds=3),
    )


@pytest.fixture(scope="module")
def found(work) -> dict[str, Measurement | InvalidInput]:
    """The tiny model beside a folder that is no model."""
    return measure({"tiny": work, "broken": work.model_copy(update={"folder": Path("nowhere")})})


def test_every_quantity_has_as_many_samples_as_there_was_work(found):
    """Two queries, three rounds of three tokens each."""
    counts = {name: len(samples.values) for name, samples in found["tiny"].samples.items()}
    assert counts == {
        "load_s": 1,
        "ttft_cold_s": 1,
        "ttft_warm_s": 2,
        "query_s": 2,
        "prefill_tokens_per_s": 3,
        "token_s": 9,
        "decode_tokens_per_s": 3,
        "fixed_work_s": 3,
    }
    assert all(value > 0 for samples in found["tiny"].samples.values() for value in samples.values)


def test_what_was_measured_beside_another_variant_says_so(work, found):
    """Two at once disturb each other a little, and alike; a partner that died early does not."""
    both = measure({"a": work, "b": work})
    assert isinstance(both["b"], Measurement)
    fixed = "fixed work (8 tokens read, 3 written): seconds between decoded tokens, a value a token"
    assert both["b"].samples["token_s"].what == f"{fixed}, beside 1 other variant"
    assert found["tiny"].samples["token_s"].what == f"{fixed}, beside 0 other variants and 1 whose process failed"


def test_memory_is_that_of_the_variants_own_process(found):
    """With what MLX holds in it, and the work it was read after."""
    memory = found["tiny"].memory
    assert 0 < memory.mlx_active_bytes <= memory.mlx_peak_bytes < memory.process_peak_bytes
    assert "2 canonical queries, 3 times 8 tokens read and 3 written" in memory.work


def test_a_variant_that_cannot_be_measured_leaves_the_other_alone(found):
    """And its error says which variant, at which step, and why."""
    assert isinstance(found["tiny"], Measurement)
    assert isinstance(found["broken"], InvalidInput)
    assert "broken could not be measured (load)" in str(found["broken"])
    assert "no such model folder" in str(found["broken"])


def test_a_judged_reply_that_the_kernels_do_not_give_is_said_to_part(work, found):
    """Where, and by how much: the judged token is less likely here."""
    tokens = found["tiny"].tokens["find it"]
    other = (*tokens[:2], (tokens[2] + 1) % 300, *tokens[3:])
    judged = [_reply("find it", other), _reply("call a.py", found["tiny"].tokens["call a.py"])]
    again = measure({"tiny": work.model_copy(update={"judged": tuple(judged)})})["tiny"]
    assert isinstance(again, Measurement)
    assert again.tokens == found["tiny"].tokens
    assert [(d.case, d.position) for d in again.divergences] == [("find it", 2)]
    assert (again.divergences[0].gap or 0.0) > 0


def test_a_process_that_the_system_kills_says_so(work, monkeypatch):
    """It leaves no message of its own."""
    monkeypatch.setattr(
        "phase8.measure.side_by_side.COMMAND", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    )
    killed = measure({"large": work})["large"]
    assert "large could not be measured (load): its process was killed by signal 9" in str(killed)


def test_benchmarks_of_a_variant_are_its_measured_rounds():
    """The clock moves by what was measured and by nothing else."""
    names = ("load_s", "ttft_cold_s", "query_s", "fixed_work_s")
    replay = Replay({name: Samples(unit="s", values=(0.5, 2.0), what="") for name in names})
    moved = []
    for play in (replay.load, replay.fixed_work, replay.fixed_work, replay.canonical_queries):
        before = recorded()
        play()
        moved.append(recorded() - before)
    assert moved == [0.5, 0.5, 2.0, 2.5]
    assert (replay.measured_s["load"], replay.measured_s["canonical_queries"]) == ([0.5, 2.0], [2.5])
    with pytest.raises(LookupError, match="fixed_work_s"):
        replay.fixed_work()


LOST = """
import pytest
from phase8.record.run import Samples
from phase8.measure.benchmark_replay import Replay, recorded, rounds_s

NAMES = ("load_s", "ttft_cold_s", "query_s", "fixed_work_s")

@pytest.mark.benchmark(timer=recorded)
@pytest.mark.parametrize("rounds", [2, 1])
def test_fixed_work(benchmark, rounds):
    replay = Replay({name: Samples(unit="s", values=(0.5, 2.0), what="") for name in NAMES})
    benchmark.pedantic(replay.fixed_work, rounds=rounds)
    assert rounds_s(benchmark) == pytest.approx(replay.measured_s["fixed_work"])
"""


def test_a_benchmark_that_lost_a_round_fails(tmp_path):
    """As the suites ask it of pytest-benchmark itself; where that takes nothing down, nothing is taken for measured."""
    (tmp_path / "test_lost.py").write_text(LOST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), str(tmp_path)]
    for more, said in (([], "1 failed, 1 passed"), (["--benchmark-disable"], "2 failed")):
        ran = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
        assert said in ran.stdout, ran.stdout + ran.stderr
    assert "took down no round" in ran.stdout


def _reply(case: str, tokens: tuple[int, ...]) -> Reply:
    return Reply(
        case=case, suite="canonical", turn=1, label="direct", query=case, prompt_tokens=1, text="", tokens=tokens,
        finish="length", after_stop="", calls=(), failure=None, decision="answer",
    )  # fmt: skip
