"""Two looks at what was timed: who is measured again, what is left out, and the finding that comes out."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from phase8.core.errors import InvalidInput
from phase8.measure import sequential_test as looks_module
from phase8.measure.sequential_test import looks, taken
from phase8.profile.limits import BlockWork
from phase8.profile.terms import Quantity
from phase8.record.ab_blocks import Block, BlockedLatency, Counters
from phase8.regression.findings import gate_report
from phase8.regression.latency import latency_finding

QUIET = Counters(others=0.0, steal=None, mhz=None, celsius=None, on_mains=None)
WORK = BlockWork(quantities=("load_s", "token_s"))
Ratios = Callable[[int, Quantity], float]


def block(ratios: Mapping[Quantity, float], dropped: str = "", mhz: float | None = None) -> Block:
    """One A B B A of every quantity."""
    change = {str(name): (ratio, ratio) for name, ratio in ratios.items()}
    counters = QUIET.model_copy(update={"mhz": mhz})
    return Block(baseline=dict.fromkeys(change, (1.0, 1.0)), change=change, counters=counters, dropped=dropped)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What stands for measuring: the ratios by variant, what goes wrong, and a log of who was asked how often."""
    stand: dict[str, Any] = {"ratios": {}, "ends": {}, "disturbed": lambda number: False, "asked": [], "highest": []}

    class Run:
        def __init__(self, name: str, _: object, quantities: Sequence[Quantity], seconds: float, number: int) -> None:
            self._name, self._quantities, self._number = name, quantities, number + 1
            assert seconds == WORK.seconds
            stand["asked"].append((name, number, *quantities))

        def __enter__(self) -> "Run":
            if self._name in stand["ends"]:
                raise InvalidInput(stand["ends"][self._name])
            return self

        def __exit__(self, *_: object) -> None: ...

        def block(self, highest_mhz: float) -> Block:
            stand["highest"].append(highest_mhz)
            ratios = {q: stand["ratios"][self._name](self._number, q) for q in self._quantities}
            return block(ratios, "disturbed" if stand["disturbed"](self._number) else "", 2000.0 - self._number)

    monkeypatch.setattr(looks_module, "BlockRun", Run)
    return stand


def near(ratio: float, spread: float) -> Ratios:
    """Blocks around a ratio, up and down in turn."""
    return lambda number, _: ratio * (1 + spread * (-1) ** number)


def timed(names: str, stand: dict[str, Any]) -> dict[str, BlockedLatency]:
    """What the looks say of variants that are called by one letter."""
    stand["said"] = []
    return {one.variant: one for one in looks({name: {} for name in names}, WORK, stand["said"].append)}


def rounds(stand: dict[str, Any]) -> list[str]:
    """Whose blocks were taken, one after the other."""
    return [name for name, _ in itertools.groupby(name for name, *_ in stand["asked"])]


def outcomes(found: BlockedLatency) -> list[str]:
    """By quantity."""
    return [one.outcome for one in found.quantities]


def test_only_what_is_not_decided_is_measured_again(measured: dict[str, Any]) -> None:
    """Equal, slower, and in between: at 8 blocks and, for the last alone, at 16."""
    measured["ratios"] = {"e": near(1.0, 0.001), "s": near(1.2, 0.01), "b": near(1.05, 0.02)}
    found = timed("esb", measured)
    assert rounds(measured) == ["e", "s", "b"]
    assert len(measured["said"]) == 4
    assert {name: outcomes(one) for name, one in found.items()} == {
        "e": ["fine"] * 2,
        "s": ["regressed"] * 2,
        "b": ["inconclusive"] * 2,
    }
    assert [found[name].quantities[0].blocks for name in "esb"] == [8, 8, 16]
    assert all(one.family == 6 for blocked in found.values() for one in blocked.quantities)


def test_one_slow_quantity_is_named_and_nothing_else(measured: dict[str, Any]) -> None:
    """The finding says which, by how much, and blocks."""
    measured["ratios"] = {"v": lambda number, q: (1.15 if q == "load_s" else 1.0) * (1 + 0.002 * (-1) ** number)}
    finding = latency_finding(timed("v", measured)["v"], blocks=True)
    assert (finding.outcome, finding.names) == ("regressed", ("load_s",))
    assert "load_s x 1.150" in finding.detail
    assert "token_s" not in finding.detail
    assert gate_report([finding]).exit_code == 1


def test_a_fine_variant_tells_every_quantity(measured: dict[str, Any]) -> None:
    """With its bounds and blocks."""
    measured["ratios"] = {"v": near(1.0, 0.004)}
    finding = latency_finding(timed("v", measured)["v"], blocks=True)
    assert (finding.outcome, finding.names) == ("fine", ("load_s", "token_s"))
    assert "8 blocks, each bound 97.5%" in finding.detail


def test_disturbed_blocks_are_replaced_and_told_of(measured: dict[str, Any]) -> None:
    """A dropped block counts for nothing, however slow it was."""
    measured["disturbed"] = lambda number: number <= 3
    measured["ratios"] = {"v": lambda number, _: 2.0 if number <= 3 else 1.0 + 0.001 * (-1) ** number}
    blocked = timed("v", measured)["v"]
    assert outcomes(blocked) == ["fine", "fine"]
    assert len(blocked.blocks) == 11
    assert "3 of 11 blocks dropped" in latency_finding(blocked, blocks=True).detail


def test_a_machine_that_is_never_quiet_gives_no_verdict(measured: dict[str, Any]) -> None:
    """Inconclusive by name, and it blocks."""
    measured["disturbed"] = lambda number: number % 16 > 1
    measured["ratios"] = {"v": near(1.0, 0.001)}
    blocked = timed("v", measured)["v"]
    finding = latency_finding(blocked, blocks=True)
    assert blocked.quantities == ()
    assert finding.outcome == "inconclusive"
    assert "blocks count, 6 are needed: no verdict on load_s, token_s" in finding.detail
    assert gate_report([finding, finding.model_copy(update={"outcome": "fine"})]).exit_code == 3


def test_a_side_that_cannot_be_measured_is_missing(measured: dict[str, Any]) -> None:
    """The others are measured all the same."""
    measured["ratios"], measured["ends"] = {"v": near(1.0, 0.001)}, {"w": "w (change) could not be measured"}
    found = timed("wv", measured)
    assert rounds(measured) == ["w", "v"]
    assert outcomes(found["v"]) == ["fine", "fine"]
    finding = latency_finding(found["w"], blocks=True)
    assert (finding.outcome, finding.detail) == ("missing", "w (change) could not be measured")


def test_each_block_has_processes_of_its_own_and_knows_those_before_it(measured: dict[str, Any]) -> None:
    """Their number says with which query it begins; the clock is compared with the highest so far."""
    measured["ratios"] = {"v": near(1.05, 0.02)}
    timed("v", measured)
    assert [number for _, number, *_ in measured["asked"]] == list(range(16))
    assert measured["highest"] == [0.0] + [1999.0] * 15


def test_only_undecided_quantities_are_timed_again(measured: dict[str, Any]) -> None:
    """What the first look decided keeps its blocks and bounds."""
    measured["ratios"] = {"v": lambda number, q: (1.05 if q == "load_s" else 1.0) * (1 + 0.02 * (-1) ** number)}
    found = timed("v", measured)["v"]
    assert {tuple(asked) for _, number, *asked in measured["asked"] if number >= 8} == {("load_s",)}
    assert outcomes(found) == ["inconclusive", "fine"]
    assert [one.blocks for one in found.quantities] == [16, 8]


def test_nothing_timed_is_no_verdict(measured: dict[str, Any]) -> None:
    """No variant, no looks."""
    assert timed("", measured) == {}


def test_blocks_are_taken_until_enough_count() -> None:
    """None more than that where all were disturbed."""

    assert len(taken(lambda _: block({"load_s": 1.0}, "disturbed"), 8)) == 8


def test_a_machine_without_one_quiet_block_is_not_looked_at_twice(measured: dict[str, Any]) -> None:
    """It is said after the first look, not after both."""
    measured["disturbed"] = lambda number: True
    measured["ratios"] = {"v": near(1.0, 0.001)}
    finding = latency_finding(timed("v", measured)["v"], blocks=True)
    assert len(measured["said"]) == 1
    assert finding.outcome == "inconclusive"
    assert finding.detail.startswith("0 of 8 blocks count")
