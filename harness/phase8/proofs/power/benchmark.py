"""What ``pytest-benchmark --benchmark-compare-fail`` says of a run: its own rule on its own files."""

from typing import Any

from phase8.proofs.power.record import Compared

COMPARE_FAIL = "median:5%"


def compare_fail(run: dict[str, Any], baseline: dict[str, Any], expression: str = COMPARE_FAIL) -> Compared:
    """Every benchmark of a run beside the one of the same full name, as ``pytest_benchmark.session`` compares them.

    Args:
        run: what pytest-benchmark wrote for the run.
        baseline: what it wrote for the baseline.
        expression: as given to ``--benchmark-compare-fail``.
    """
    from pytest_benchmark.utils import parse_compare_fail

    check = parse_compare_fail(expression)
    before = {found["fullname"]: found["stats"] for found in baseline["benchmarks"]}
    both = [found for found in run["benchmarks"] if found["fullname"] in before]
    told = [(found["fullname"], check.fails(found["stats"], before[found["fullname"]])) for found in both]
    return Compared(compared=len(both), failures=tuple(f"{name}: {why}" for name, why in told if why))
