"""Blocks A B B A of two processes: whose turn it is, what is kept, what another machine load does to it."""

import json
import math
import os
import sys
from pathlib import Path

import pytest

from phase8.cases.cases import Case
from phase8.cases.jobs import Work
from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import psutil
from phase8.measure.ab_blocks import BlockRun, Measurable
from phase8.measure.machine_noise import Reading, between, why_dropped
from phase8.profile.limits import LatencyWork
from phase8.profile.sections import Prompting
from phase8.profile.terms import QUANTITIES
from phase8.record.ab_blocks import SIDES, Counters, Side
from phase8.stats.ab_blocks import block_value
from suites.unit import tiny

CASE = Case(
    id="a", suite="canonical", turn=1, label="direct", query="find it", messages=({"role": "user", "content": "it"},)
)

# A side whose every step takes ``pace`` seconds and whose replies have ``length`` tokens; it logs its turns.
SIDE = """
import json, sys
given = json.loads(sys.stdin.readline())
left = 0
for line in sys.stdin:
    step = line.split()[0]
    with open(given["log"], "a") as log:
        log.write(given["side"] + " " + line)
    if step == given["dies_at"]:
        sys.exit("out of luck")
    if step.startswith("open"):
        left = given["length"] if step == "open_query" else 6
    left -= step == "advance"
    pace = given["pace"]
    print(json.dumps({"load_s": [pace], "ttft_cold_s": [pace], "first_s": pace, "total_s": pace, "ended": left == 0}))
    sys.stdout.flush()
"""


def sides(tmp_path: Path, paces: tuple[float, float], lengths: tuple[int, int] = (4, 4), dies_at: str = ""):
    """Two sides that log to one file."""
    found: dict[Side, Measurable] = {}
    for side, pace, length in zip(SIDES, paces, lengths, strict=True):
        work = {"side": side, "pace": pace, "length": length, "log": str(tmp_path / "log"), "dies_at": dies_at}
        found[side] = Measurable(json.dumps(work), ("one", "two"), (sys.executable, "-c", SIDE))
    return found


def turns(tmp_path: Path, step: str) -> str:
    """Whose turns a step were, B for the baseline and C for the change."""
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    return "".join({"baseline": "B", "change": "C"}[side] for side, name, *_ in lines if name == step)


def test_sides_take_turns_and_their_ratio_comes_out(tmp_path: Path) -> None:
    """A change that takes a tenth longer, in every quantity."""
    with BlockRun("v", sides(tmp_path, (1.0, 1.1)), QUANTITIES, seconds=0) as run:
        (tmp_path / "log").write_text("")
        block = run.block()
    assert turns(tmp_path, "load") == turns(tmp_path, "cold") == "BCCB"
    for quantity in QUANTITIES:
        value = block_value(block.baseline[quantity], block.change[quantity])
        assert value == pytest.approx(math.log(1.1)), quantity
    assert block.baseline["query_s"] == pytest.approx((4.0, 4.0))
    assert block.baseline["token_s"] == (1.0,) * 8  # two generations of 6 steps, the first and last left out


def test_the_side_that_begins_changes_from_token_to_token(tmp_path: Path) -> None:
    """Each begins as often as the other, in one generation and over two."""
    with BlockRun("v", sides(tmp_path, (1.0, 1.0)), ("query_s",), seconds=0) as run:
        (tmp_path / "log").write_text("")
        run.block()
    found = turns(tmp_path, "advance")
    assert {found[:8], found[8:]} == {"BCCBBCCB", "CBBCCBBC"}


def test_replies_of_different_length_are_each_read_to_their_end(tmp_path: Path) -> None:
    """A longer reply takes longer: that is a regression too."""
    with BlockRun("v", sides(tmp_path, (1.0, 1.0), (4, 6)), ("query_s",), seconds=0) as run:
        block = run.block()
    assert (block.baseline["query_s"], block.change["query_s"]) == ((4.0, 4.0), (6.0, 6.0))


@pytest.mark.parametrize(("number", "first", "query"), [(0, "BCCB", "0"), (1, "CBBC", "1")])
def test_every_second_block_begins_with_the_other_side_and_the_next_query(
    tmp_path: Path, number: int, first: str, query: str
) -> None:
    """So that whatever being first costs, and whatever one query is like, is shared out."""
    with BlockRun("v", sides(tmp_path, (1.0, 1.1)), ("load_s", "query_s"), seconds=0, number=number) as run:
        (tmp_path / "log").write_text("")
        block = run.block()
    assert turns(tmp_path, "load") == first
    for quantity in ("load_s", "query_s"):
        assert block_value(block.baseline[quantity], block.change[quantity]) == pytest.approx(math.log(1.1))
    with BlockRun("v", sides(tmp_path, (1.0, 1.1)), ("query_s",), seconds=0, number=number) as run:
        (tmp_path / "log").write_text("")
        run.block()
    assert (tmp_path / "log").read_text().split()[:3] == ["baseline", "open_query", query]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are tied on Linux alone")
def test_every_thread_of_both_sides_is_tied_to_the_same_cores_and_preempts_none(tmp_path: Path) -> None:
    """Threads that were there before, too."""
    threaded = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n" + SIDE
    command = (sys.executable, "-c", threaded)
    given = {side: one._replace(command=command) for side, one in sides(tmp_path, (1.0, 1.0)).items()}
    here = psutil.Process()
    before = {child.pid for child in here.children()}  # what tests of another file left running
    with BlockRun("v", given, ("load_s",), seconds=0):
        both = [child for child in here.children() if child.pid not in before]
        threads = [thread.id for side in both for thread in side.threads()]
        tied = {tuple(os.sched_getaffinity(thread)) for thread in threads}
        policies = {os.sched_getscheduler(thread) for thread in threads}
    assert len(threads) == 4
    if half := len(os.sched_getaffinity(0)) // 2:
        assert [len(cores) for cores in tied] == [half]
        assert policies == {os.SCHED_BATCH}


def test_only_queries_of_both_sides_are_compared(tmp_path: Path) -> None:
    """By name, wherever each side has it."""
    given = sides(tmp_path, (1.0, 1.0))
    given["change"] = given["change"]._replace(queries=("new", "two"))
    with BlockRun("v", given, ("query_s",), seconds=0) as run:
        run.block()
    opened = {line for line in (tmp_path / "log").read_text().splitlines() if "open_query" in line}
    assert opened == {"baseline open_query 1", "change open_query 1"}


@pytest.mark.parametrize("step", ["load", "advance"])
def test_a_side_that_ends_is_named_with_what_it_said(tmp_path: Path, step: str) -> None:
    """Not a block with holes in it."""
    run = BlockRun("v", sides(tmp_path, (1.0, 1.0), dies_at=step), QUANTITIES, seconds=0)
    with pytest.raises(InvalidInput, match=rf"v \(baseline\) could not be measured \({step}\): out of luck"), run:
        pass


def test_a_real_model_beside_itself(tmp_path: Path) -> None:
    """Every quantity of both sides is measured by the real engine."""
    (tmp_path / "tokenizer").mkdir()
    tokenizer = tiny.tokenizer_folder(tmp_path / "tokenizer")
    work = Work(
        folder=tiny.model_folder(tmp_path / "model", tokenizer, tiny.TIED, group_size=32, bits=4),
        adapter=None,
        cases=(CASE,),
        prompting=Prompting(format="fenced", stop_sequences=("<|im_end|>",), max_tokens=6),
        tools=[],
        latency=LatencyWork(prefill_tokens=8, decode_tokens=4, rounds=1),
    )
    side = Measurable(work.model_dump_json(), ("a",))
    with BlockRun("tiny", {"baseline": side, "change": side}, QUANTITIES, seconds=0) as run:
        block = run.block()
    for values in (block.baseline, block.change):
        assert set(values) == set(QUANTITIES)
        assert all(seconds and min(seconds) > 0 for seconds in values.values())


def counters(**values: float | bool | None) -> Counters:
    """A quiet machine with no sensors."""
    return Counters.model_validate(
        {"others": 0.01, "steal": 0.0, "mhz": None, "celsius": None, "on_mains": None} | values
    )


def test_what_disturbs_a_block_is_named(subtests: pytest.Subtests) -> None:
    """From counters alone."""
    for found, told in [
        (counters(others=0.2), "other processes used 20% of the cores"),
        (counters(steal=0.05), "the host took 5% of the cores' time"),
        (counters(mhz=1500.0), "the clock was at 1500 MHz, 3000 before"),
        (counters(on_mains=False), "on its battery"),
        (counters(), ""),
        (counters(steal=None, mhz=2900.0, on_mains=True, celsius=95.0), ""),
    ]:
        with subtests.test(found=found, told=told):
            why = why_dropped(found, 3000.0)
            assert told in why
            assert bool(why) == bool(told)


def test_what_our_own_processes_use_disturbs_nothing() -> None:
    """Of two cores for ten seconds, 8 s were busy, 7 of them ours."""
    found = between(Reading(0.0, 100.0, 5.0, 50.0), Reading(10.0, 108.0, 5.2, 57.0))
    cores = psutil.cpu_count() or 1
    assert found.others == pytest.approx(1.0 / (10 * cores))
    assert found.steal == pytest.approx(0.2 / (10 * cores))
