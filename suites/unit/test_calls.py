"""Snapshots of parsed calls: what a lane has, and what was lost from it."""

import json
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from fixtures.calls import AcceptedCalls
from harness.errors import InvalidInput
from harness.judge import Evidence, canonical_calls
from harness.profile import Budgets
from suites.unit import records


def evidence() -> Evidence:
    """Five right replies of a production variant."""
    return Evidence(variant="fused-5bit", role="production", cases=(), replies=records.canonical(), budgets=Budgets())


def judged(snapshot: SnapshotAssertion, folder: Path, found: Evidence):
    """The verdict on these replies in a lane's folder."""
    return AcceptedCalls(snapshot, folder, updating=False, audit=None).judge(found)


def accept(folder: Path, found: Evidence) -> None:
    """Write the calls as accepted ones."""
    folder.mkdir(parents=True)
    calls = {case: [call.model_dump() for call in calls] for case, calls in canonical_calls(found.replies).items()}
    (folder / "calls.json").write_text(json.dumps(calls, indent=2))


def test_a_lane_without_snapshots_is_new(snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    """Shown, not judged."""
    assert judged(snapshot, tmp_path / "fused-5bit", evidence()).status == "new"


def test_a_snapshot_that_is_gone_from_a_lane_is_a_failure(snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    """Deleting a variant's file does not turn its gate off."""
    accept(tmp_path / "fused-8bit", evidence())
    verdict = judged(snapshot, tmp_path / "fused-5bit", evidence())
    assert verdict.status == "fail"
    assert "this lane has snapshots, but none of this variant" in verdict.detail


@pytest.mark.parametrize("text", ["{broken", "[]", "null", "3"])
def test_a_damaged_snapshot_is_one_message(snapshot: SnapshotAssertion, tmp_path: Path, text: str) -> None:
    """With the file and the next step."""
    accept(tmp_path / "fused-5bit", evidence())
    (tmp_path / "fused-5bit" / "calls.json").write_text(text)
    with pytest.raises(InvalidInput, match="calls.json: .*snapshot-update"):
        judged(snapshot, tmp_path / "fused-5bit", evidence())
