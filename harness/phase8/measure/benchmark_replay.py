"""Recorded work played to pytest-benchmark: its rounds are the measured ones, on a clock that only they move.

Variants are measured in processes of their own, so that nothing of pytest's is in their memory or their way.
"""

from typing import Any

from phase8.record.run import Samples


class _Clock:
    seconds = 0.0


def recorded() -> float:
    """The seconds of all work played so far; the timer of every benchmark of a variant."""
    return _Clock.seconds


def rounds_s(benchmark: Any) -> list[float]:
    """The seconds of every round that pytest-benchmark took down, from its fixture.

    Raises:
        LookupError: it took none, as with --benchmark-disable.
    """
    if benchmark.stats is None:
        raise LookupError("pytest-benchmark took down no round: leave out --benchmark-disable, or deselect this test")
    return list(benchmark.stats.stats.data)


class Replay:
    """The timed work of one variant, one round after the other.

    ``measured_s`` are the seconds of the rounds of each kind of work, named as its method: what a benchmark must show.

    Raises:
        LookupError: a round is played that was not measured.
    """

    def __init__(self, samples: dict[str, Samples]) -> None:
        self.rounds = len(samples["fixed_work_s"].values)
        self.measured_s = {
            "load": list(samples["load_s"].values),
            "cold_first_token": list(samples["ttft_cold_s"].values),
            "canonical_queries": [sum(samples["query_s"].values)],
            "fixed_work": list(samples["fixed_work_s"].values),
        }
        self._left = {name: list(found.values) for name, found in samples.items()}

    def load(self) -> None:
        """Read the weights into memory."""
        self._play("load_s")

    def cold_first_token(self) -> None:
        """The first canonical query with nothing cached, up to its first token."""
        self._play("ttft_cold_s")

    def canonical_queries(self) -> None:
        """Every canonical query once."""
        for _ in range(len(self._left["query_s"])):
            self._play("query_s")

    def fixed_work(self) -> None:
        """One round of the fixed work."""
        self._play("fixed_work_s")

    def _play(self, name: str) -> None:
        if not self._left.get(name):
            raise LookupError(f"{name}: no more rounds were measured")
        _Clock.seconds += self._left[name].pop(0)
