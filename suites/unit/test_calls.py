"""Accepting and comparing tool calls with the real command: pytest on ``suites/phase8``, with the pinned syrupy.

It is run in a copy of the checkout, since snapshots are written beside the suite. The models are folders that nobody
loads: their replies are planted in the store, so that no figure of a model counts.
"""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.location import PyTestLocation
from syrupy.session import SnapshotSession

from fixtures.calls import AcceptedCalls, CallsExtension
from phase8.chat.formats import Call
from phase8.core.store import Store
from phase8.gates.replies import Evidence
from phase8.gates.tool_calls import plain_calls
from phase8.profile.limits import Budgets
from phase8.profile.loading import load
from phase8.record import snapshots
from phase8.record.files import load_run, load_verdict
from phase8.record.run import Reply, Verdict
from phase8.record.snapshots import folder_of
from phase8.stages.flow import Flow
from suites.unit import records, scratch

PROFILE = """
name = "own--models"

[prompting]
format = "fenced"
stop_sequences = ["<|im_end|>"]
max_tokens = 8

[audit]
variants = []

[[models]]
name = "first"
path = "first"
role = "production"

[[models]]
name = "second.b"
path = "second"
role = "production"
"""
OTHER = Call(name="run_command", arguments={"command": "find . -name views.py"})


def replies(async_await: Call | None = None) -> tuple[Reply, ...]:
    """The canonical replies, one of them with another call where it is given."""
    calls = {"async-await": (async_await,)} if async_await else {}
    return tuple(r.model_copy(update={"calls": calls.get(r.case, r.calls)}) for r in records.canonical())


@dataclass
class Own:
    """A profile with two models, outside the checkout, and the command that judges it."""

    checkout: Path
    folder: Path

    @property
    def profile(self) -> Path:
        """The profile's file."""
        return self.folder / "own.toml"

    @property
    def snapshots(self) -> Path:
        """Where the README says that snapshots are."""
        return self.checkout / "suites" / "phase8" / "__snapshots__"

    def make(self) -> None:
        """The profile, its models, their first replies."""
        self.profile.write_text(PROFILE, encoding="utf-8")
        for name in ("first", "second"):
            (self.folder / name).mkdir()
            (self.folder / name / "config.json").write_text(f'{{"model_type": "{name}"}}', encoding="utf-8")
        self.plant("first", replies())
        self.plant("second.b", replies())

    def plant(self, variant: str, made: Sequence[Reply]) -> None:
        """Put replies where those of the variant belong."""

        def write(out: Path) -> None:
            stored = {"replies": [reply.model_dump(mode="json") for reply in made], "replies_on": "planted"}
            (out / "replies.json").write_text(json.dumps(stored), encoding="utf-8")

        flow = Flow(load(str(self.profile)), Store(self.folder / "build"))
        step = replace(flow.replies(flow.variant(variant)), make=write)
        shutil.rmtree(flow.store.path(step), ignore_errors=True)
        flow.store.ensure(step)

    def judge(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the suites as the README says, but for those that load a model (all but termination and tool calls).

        They are ignored, not deselected with ``-k``: syrupy deletes nothing then, and a test could not see it.
        """
        ignored = "--ignore-glob=*/test_[!t]*"
        return self.run([sys.executable, "-m", "pytest", "suites/phase8", ignored, *self.given, *arguments])

    @property
    def given(self) -> list[str]:
        """The options that every command gets."""
        places = {name: str(self.folder / name) for name in ("build", "reports")}
        return ["--profile", str(self.profile), *(word for name in places for word in (f"--{name}", places[name]))]

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """A command in the checkout."""
        return subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False)

    def verdicts(self) -> Mapping[str, Verdict]:
        """The verdicts of the last run on tool calls, by variant."""
        return {v.variant: v for v in load_run(self.folder / "reports").verdicts if v.gate == "tool calls"}

    def file(self, variant: str) -> Path:
        """The snapshot of a variant."""
        return folder_of(self.snapshots, "own--models", variant) / "test_tool_calls.json"

    def shown(self, variant: str) -> str:
        """The same as a message names it."""
        return self.file(variant).relative_to(self.checkout).as_posix()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout."""
    return scratch.checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def own(checkout: Path, tmp_path: Path) -> Iterator[Own]:
    """Two models whose replies are planted; nothing is recorded of them."""
    made = Own(checkout, tmp_path)
    made.make()
    yield made
    shutil.rmtree(made.snapshots, ignore_errors=True)


@pytest.fixture
def accepted(own: Own) -> Own:
    """The same, their calls recorded."""
    for variant in ("first", "second.b"):
        own.file(variant).parent.mkdir(parents=True)
        own.file(variant).write_text(snapshots.text(plain_calls(replies())), encoding="utf-8")
    return own


def test_accept_compare_change_compare_restore(own: Own) -> None:
    """The whole sequence: new, accepted, the same, another call, the first call again."""
    new = own.judge()
    assert new.returncode == 0, new.stdout
    assert {verdict.status for verdict in own.verdicts().values()} == {"new"}
    assert "new: first, second.b: no snapshot in this lane yet" in new.stdout

    accepting = own.judge("--snapshot-update")
    assert accepting.returncode == 0, accepting.stdout
    assert f"first: accepted: {own.shown('first')}" in accepting.stdout
    assert json.loads(own.file("second.b").read_text(encoding="utf-8")) == plain_calls(replies())

    same = own.judge()
    assert same.returncode == 0, same.stdout
    assert {verdict.status for verdict in own.verdicts().values()} == {"pass"}

    own.plant("second.b", replies(async_await=OTHER))
    changed = own.judge()
    assert changed.returncode == 1
    found = own.verdicts()
    assert {name: verdict.status for name, verdict in found.items()} == {"first": "pass", "second.b": "fail"}
    for call in ("grep -rn def .", "find . -name views.py"):
        assert call in found["second.b"].detail
    assert found["second.b"].detail.startswith("async-await changed; if that is right, accept it with `")
    assert load_verdict(own.folder / "reports").exit_code == 1

    own.plant("second.b", replies())
    assert own.judge().returncode == 0


def test_a_variant_is_accepted_without_touching_the_files_of_others(accepted: Own) -> None:
    """Other variants, lanes and profiles look unused to this session: they stay, and fail nothing."""
    lane = accepted.file("first").parent.parent
    others = [
        accepted.file("first"),
        accepted.snapshots / "own--models" / "another-machine" / "first" / "test_tool_calls.json",
    ]
    others.append(accepted.snapshots / "pocket" / lane.name / "base" / "test_tool_calls.json")
    for path in others[1:]:
        path.parent.mkdir(parents=True)
        path.write_text("{}", encoding="utf-8")
    before = {path: path.read_bytes() for path in others}
    accepted.plant("first", replies(async_await=OTHER))
    accepted.plant("second.b", replies(async_await=OTHER))
    ran = accepted.judge("--variant", "second.b", "--snapshot-update")
    assert ran.returncode == 0, ran.stdout
    assert f"second.b: accepted: {accepted.shown('second.b')} (async-await changed)" in ran.stdout
    assert {path: path.read_bytes() for path in others} == before
    ran = accepted.judge("--variant", "second.b")
    assert ran.returncode == 0, ran.stdout
    assert "unused" not in ran.stdout
    assert accepted.judge("--variant", "first").returncode == 1


def test_a_deleted_snapshot_fails_in_a_lane_that_has_others(accepted: Own) -> None:
    """Deleting a variant's file does not turn its gate off, and the message says what to restore."""
    accepted.file("first").unlink()
    assert accepted.judge("--variant", "first").returncode == 1
    verdict = accepted.verdicts()["first"]
    assert verdict.status == "fail"
    assert f"not {accepted.shown('first')}; restore it" in verdict.detail


def test_the_command_that_a_message_names_accepts_though_other_gates_fail(own: Own) -> None:
    """Taken from the message as it stands. No model can be measured here, so the run fails; its calls are accepted."""
    own.judge("--variant", "first")
    command = own.verdicts()["first"].detail.partition("`")[2].rstrip("`")
    ran = own.run(shlex.split(command))
    assert ran.returncode == 1
    assert f"first: accepted: {own.shown('first')}" in ran.stdout
    assert load_verdict(own.folder / "reports").exit_code == 1
    missing = [v.detail for v in load_run(own.folder / "reports").verdicts if v.gate == "memory"]
    assert all("its test did not get that far: " in detail for detail in missing)
    assert missing
    assert own.judge("--variant", "first").returncode == 0


def test_a_session_without_the_test_of_tool_calls_keeps_every_snapshot(accepted: Own) -> None:
    """syrupy's own search would take them all for unused, and delete them."""
    ran = accepted.judge("--snapshot-update", "--ignore-glob=*/test_tool*")
    assert "NOT ACCEPTED: this session did not ask for the test of tool calls" in ran.stdout
    assert accepted.file("first").is_file()
    assert accepted.file("second.b").is_file()


def test_a_session_that_fails_though_its_tests_pass_says_why(own: Own) -> None:
    """New calls alone are no verdict."""
    ran = own.judge("--variant", "first", "--ignore-glob=*/test_term*", "--ignore-glob=*/test_disc*")
    assert ran.returncode == 1
    assert "FAIL: nothing was judged" in ran.stdout


def test_new_snapshots_only_leaves_a_changed_one(accepted: Own) -> None:
    """syrupy's option for what has no snapshot yet."""
    accepted.file("second.b").unlink()
    accepted.plant("first", replies(async_await=OTHER))
    ran = accepted.judge("--snapshot-update-new-only")
    assert ran.returncode == 1
    assert f"second.b: accepted: {accepted.shown('second.b')}" in ran.stdout
    assert "first: NOT ACCEPTED: changed" in ran.stdout


def test_another_folder_for_snapshots_is_used_by_each_command(own: Own) -> None:
    """Also one that is named as syrupy names the folder beside a test, which it would take for another test's."""
    given = ["--variant", "first", "--snapshots", str(own.folder / "__snapshots__")]
    ran = own.judge(*given, "--snapshot-update")
    assert ran.returncode == 0, ran.stdout
    assert [path.name for path in own.folder.glob("__snapshots__/own--models/*/*/*")] == ["test_tool_calls.json"]
    assert not own.snapshots.exists()
    assert own.judge(*given).returncode == 0
    assert own.verdicts()["first"].status == "pass"


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> SnapshotAssertion:
    """Of a syrupy session apart, whose failures are not those of the tests."""
    session = SnapshotSession(pytest_session=request.session)
    return SnapshotAssertion(session, CallsExtension, PyTestLocation(request.node), update_snapshots=False)


@pytest.mark.parametrize("text", [b"{broken", b"[]", b"null", b"3", b"\xff\xfe"])
def test_a_damaged_snapshot_is_missing_and_can_be_accepted_anew(
    snapshot: SnapshotAssertion, tmp_path: Path, text: bytes
) -> None:
    """With the file and the command; the command that it names does not stumble over the same file."""
    file = tmp_path / "lane" / "first" / "test_calls.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(text)
    verdict = judged(snapshot, file.parent)
    assert verdict.status == "missing"
    assert str(file) in verdict.detail
    assert "accept today's calls with CMD" in verdict.detail
    assert judged(updating(snapshot), file.parent).detail.startswith("accepted now in ")
    assert judged(snapshot, file.parent).status == "pass"


def test_a_snapshot_that_is_only_written_otherwise_is_the_same(snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    """Spaces and the order of keys are no calls."""
    file = tmp_path / "lane" / "first" / "test_calls.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(plain_calls(replies()), separators=(",", ":")), encoding="utf-8")
    assert judged(snapshot, file.parent).status == "pass"


def test_what_cannot_be_written_is_a_missing_verdict_with_its_reason(
    snapshot: SnapshotAssertion, tmp_path: Path
) -> None:
    """syrupy keeps an error to itself and says that the calls differ."""
    (tmp_path / "lane").write_text("a file where a folder should be", encoding="utf-8")
    verdict = judged(updating(snapshot), tmp_path / "lane" / "first")
    assert verdict.status == "missing"
    assert "Not a directory" in verdict.detail


def test_replies_without_canonical_queries_are_never_accepted(snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    """An empty snapshot would be equal to nothing at all for ever."""
    verdict = judged(updating(snapshot), tmp_path / "lane" / "first", made=records.held_out())
    assert (verdict.status, verdict.detail) == ("missing", "no canonical query has a reply")
    assert not (tmp_path / "lane").exists()


def judged(snapshot: SnapshotAssertion, folder: Path, made: Sequence[Reply] = records.canonical()) -> Verdict:
    """The verdict on these replies in a variant's folder."""
    found = Evidence(variant="first", role="production", cases=(), replies=tuple(made), budgets=Budgets())
    return AcceptedCalls(snapshot, folder, audit=None, accept="CMD").judge(found)


def updating(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """The same with ``--snapshot-update``."""
    found = snapshot.with_defaults()
    found.update_snapshots = True
    return found
