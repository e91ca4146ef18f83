"""Did the adapter survive fusing and quantising? Behaviour, the third question, is in ``test_probes.py``."""

import pytest

from phase8.gates import survival as judge_survival
from phase8.gates.verdicts import is_good


@pytest.mark.gate("integrity")
def test_every_code_is_what_base_and_adapter_give(variant, unfused, folder_check, judged):
    """Recomputed for each matrix and expert; a module without its delta is named."""
    verdict = judged(judge_survival.integrity(variant.name, variant.role, folder_check, unfused))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("recovery")
def test_the_gain_of_the_fine_tuning_is_still_there(variant, unfused, recovery, budgets, judged):
    """On held-out assistant tokens; what stays inconclusive is reported as such."""
    verdict = judged(judge_survival.recovery(variant.name, variant.role, recovery, budgets, unfused))
    assert is_good(verdict) or verdict.status == "inconclusive", verdict.detail
