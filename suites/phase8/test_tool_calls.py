"""Are the tool calls still the ones we recorded?"""

import pytest

from phase8.gates.verdicts import is_good


@pytest.mark.gate("tool calls")
def test_canonical_tool_calls_are_as_recorded(evidence, accepted_calls, judged):
    """Parsed calls by name and normalised arguments; a lane without a record is new."""
    verdict = judged(accepted_calls.judge(evidence))
    assert is_good(verdict), verdict.detail
