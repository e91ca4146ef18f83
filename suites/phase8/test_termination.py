"""Does every reply end where it should?"""

import pytest

from phase8.gates import replies as judge
from phase8.gates.verdicts import is_good


@pytest.mark.gate("termination")
def test_every_reply_ends_at_the_stop_sequence(evidence, judged):
    """No reply hits the token limit, and nothing follows the stop sequence."""
    verdict = judged(judge.termination(evidence))
    assert is_good(verdict), verdict.detail
