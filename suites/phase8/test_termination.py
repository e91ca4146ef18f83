"""Does every reply end where it should?"""

import pytest

from harness import judge


@pytest.mark.gate("termination")
def test_every_reply_ends_at_the_stop_sequence(evidence, judged):
    """No reply hits the token limit, and nothing follows the stop sequence."""
    verdict = judged(judge.termination(evidence))
    assert judge.is_good(verdict), verdict.detail
