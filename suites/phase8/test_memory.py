"""Does every variant fit in memory?"""

import pytest

from phase8.gates import measured as judge_measured
from phase8.gates.verdicts import is_good


@pytest.mark.gate("memory")
def test_memory_stays_below_the_ceiling(variant, measurement, budgets, judged):
    """Measured in a process that holds nothing else."""
    verdict = judged(judge_measured.memory(variant.name, variant.role, measurement.memory, budgets))
    assert is_good(verdict), verdict.detail
