"""Do the prompts get the same tokens, in whatever way their replies are written?"""

import pytest

from phase8.gates.determinism import determinism
from phase8.gates.verdicts import is_good


@pytest.mark.gate("determinism")
def test_replies_are_audited_for_determinism(variant, profile, audited, judged):
    """Twice alike, alone as beside others, with a cached prompt as with a cold one; judged where a limit is set."""
    verdict = judged(determinism(variant.name, variant.role, profile, audited))
    assert is_good(verdict), verdict.detail
