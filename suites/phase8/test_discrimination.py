"""Does every variant still tell "call a tool" from "answer directly"?"""

import pytest

from phase8.cases.replies import SYNTHETIC_CONTROLS
from phase8.gates import replies as judge
from phase8.gates.verdicts import is_good


@pytest.mark.gate("canonical")
def test_the_canonical_queries_are_told_apart(evidence, judged):
    """All canonical queries get what they need: a call or an answer."""
    verdict = judged(judge.canonical(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("held-out")
def test_held_out_prompts_are_told_apart(evidence, judged):
    """Prompts that training never saw get what they need."""
    verdict = judged(judge.held_out(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("over-calls")
def test_no_tool_is_called_where_none_is_needed(evidence, judged):
    """Direct questions are answered."""
    verdict = judged(judge.over_calls(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("under-calls")
def test_a_tool_is_called_where_one_is_needed(evidence, judged):
    """Look-ups get a valid call."""
    verdict = judged(judge.under_calls(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("second turn")
def test_a_tool_result_is_answered_and_not_called_again(evidence, judged):
    """Given the tool's result, the model answers."""
    verdict = judged(judge.second_turn(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("control")
def test_a_control_fails_discrimination(evidence, judged):
    """A variant that cannot know must not pass, or the gate means nothing."""
    verdict = judged(judge.control(evidence))
    assert is_good(verdict), verdict.detail


@pytest.mark.gate("control")
@pytest.mark.parametrize("control_name", SYNTHETIC_CONTROLS, scope="session")
def test_a_synthetic_control_fails_discrimination(synthetic_evidence, judged):
    """Always calling and never calling are both caught, in every run."""
    verdict = judged(judge.control(synthetic_evidence))
    assert is_good(verdict), verdict.detail
