"""The gate on recorded calls as a pure function, what a session says of it, and the command that it names."""

import shlex
import sys
from pathlib import Path

import pytest

from phase8.core.project import ROOT
from phase8.gates.tool_calls import Compared, told, tool_calls
from phase8.profile.loading import PROFILES, load
from phase8.record import snapshots
from phase8.record.snapshots import SNAPSHOTS, Places, accept_command, changes, from_checkout
from suites.unit import profiles

FOLDER = from_checkout(SNAPSHOTS)
FILE = f"{FOLDER}/mine/lane/tuned/test_tool_calls.json"
CHANGES = {"async-await": 'was [{"name": "grep"}], is []'}


def compared(outcome: str, **fields: object) -> Compared:
    """What became of the calls of one variant."""
    return Compared.model_validate({"outcome": outcome, "file": FILE, **fields})


STATUSES = {
    "as recorded": "pass",
    "changed": "fail",
    "lost": "fail",
    "new": "new",
    "accepted": "new",
    "failed": "missing",
}


@pytest.mark.parametrize(("outcome", "status"), STATUSES.items())
def test_only_what_was_compared_passes_or_fails(outcome: str, status: str) -> None:
    """A first snapshot, or one that is accepted now, is shown: it has nothing to differ from."""
    assert tool_calls("tuned", "production", compared(outcome), "CMD").status == status


def test_a_changed_call_is_named_with_was_is_and_the_command() -> None:
    """The query and the command come first: reports cut long lines."""
    detail = tool_calls("tuned", "production", compared("changed", changes=CHANGES), "CMD").detail
    assert (
        detail
        == 'async-await changed; if that is right, accept it with CMD; async-await: was [{"name": "grep"}], is []'
    )


def test_a_lost_snapshot_is_named_with_its_file() -> None:
    """As seen from the checkout, where git can restore it."""
    detail = tool_calls("tuned", "production", compared("lost"), "CMD").detail
    assert "not suites/phase8/__snapshots__/mine/lane/tuned/test_tool_calls.json; restore it" in detail


def test_calls_are_compared_as_json() -> None:
    """True is not 1, and what is gone is not null."""
    before = {"a": [{"x": True}], "b": None, "c": [1]}
    assert changes(before, {"a": [{"x": 1}], "c": [1]}) == {
        "a": 'was [{"x": true}], is [{"x": 1}]',
        "b": "was null, is not there",
    }


def test_a_text_that_utf8_cannot_hold_is_recorded(tmp_path: Path) -> None:
    """A model may escape half of a character in its JSON."""
    calls = {"a": [{"name": "grep", "arguments": {"pattern": "\ud83d \u202e"}}]}
    (tmp_path / "calls.json").write_text(snapshots.text(calls), encoding="utf-8")
    assert snapshots.read(tmp_path / "calls.json") == calls


def test_a_profiles_name_with_dashes_is_one_folder(tmp_path: Path) -> None:
    """A lane has two dashes between profile and machine; a name may have them too."""
    found = snapshots.folder_of(tmp_path, "my--model", "tuned")
    assert found.relative_to(tmp_path).parts[0] == "my--model"
    assert found.parent.name == snapshots.folder_of(tmp_path, "mine", "tuned").parent.name


def test_the_command_names_a_shipped_profile_by_its_name() -> None:
    """And no folder, where none was given."""
    words = shlex.split(accept_command(load("pocket"), [], Places(ROOT / "build")).strip("`"))
    assert Path(ROOT / words[0]) == Path(sys.executable)
    assert words[1:] == ["-m", "pytest", "suites/phase8", "--profile", "pocket", "--snapshot-update"]


def test_the_command_names_an_own_profile_by_its_path_and_the_sessions_folders(tmp_path: Path) -> None:
    """A path with a space too; a copy of a shipped profile is not the shipped one."""
    folder = tmp_path / "my models"
    folder.mkdir()
    own = profiles.located(folder)
    places = Places(tmp_path / "build", tmp_path / "reports", tmp_path / "snapshots")
    words = shlex.split(accept_command(own, ["tuned"], places).strip("`"))[4:]
    folders = [word for name in ("build", "reports", "snapshots") for word in (f"--{name}", str(tmp_path / name))]
    assert words == ["--profile", str(folder / "mine.toml"), "--variant", "tuned", *folders, "--snapshot-update"]
    copy = tmp_path / "pocket.toml"
    copy.write_text((PROFILES / "pocket.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert str(copy) in accept_command(load(str(copy)), [], Places())


def test_a_session_that_accepts_says_what_became_of_every_variant() -> None:
    """Also of one whose test broke, and nothing of what it was not asked for."""
    found = {"a": compared("accepted"), "b": compared("as recorded"), "c": compared("failed", reason="disk full")}
    lines = told(["a", "b", "c", "d"], found, "CMD", True, FOLDER)
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "accepted",
        "as recorded before",
        "NOT ACCEPTED",
        "NOT ACCEPTED",
        "the next runs are compared with it.",
    ]
    assert told([], {}, "CMD", True, FOLDER) == ["NOT ACCEPTED: this session did not ask for the test of tool calls"]


def test_a_session_without_a_snapshot_says_once_that_calls_are_new() -> None:
    """With the command; where all is recorded it says nothing."""
    (line,) = told(
        ["a", "b", "c"], {"a": compared("new"), "b": compared("new"), "c": compared("lost")}, "CMD", False, FILE
    )
    assert line.startswith("new: a, b: no snapshot in this lane yet")
    assert line.endswith("CMD")
    assert told(["a"], {"a": compared("as recorded")}, "CMD", False, FILE) == []
