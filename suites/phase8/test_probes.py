"""Does every variant see through prompts whose words mislead, and is it as right as the live adapter?"""

import pytest

from phase8.gates import replies as judge
from phase8.gates.verdicts import is_good


@pytest.mark.gate("probes")
def test_hard_probes_are_told_about(evidence, judged):
    """Misleading verbs, greetings, other domains: reported for every variant, judged where the profile says so."""
    verdict = judged(judge.probes(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("accuracy vs adapter")
def test_nothing_is_lost_against_the_live_adapter(evidence, adapter_evidence, compared_evidence, judged):
    """The same prompts, in pairs; what stays inconclusive is reported as such."""
    verdict = judged(judge.accuracy_vs_adapter(evidence, adapter_evidence, compared_evidence))
    assert is_good(verdict) or verdict.status == "inconclusive", verdict.detail
