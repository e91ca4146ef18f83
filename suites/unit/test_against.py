"""Another commit beside this one: checked out once, with its own pins, and what is not timed says why."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from phase8.core.errors import InvalidInput
from phase8.core.store import Store
from phase8.measure.ab_blocks import Measurable
from phase8.profile import loading
from phase8.profile.loading import Located, load
from phase8.regression import timing as gate_latency
from phase8.regression import worktree as against
from phase8.regression.checks import compare_with_baseline
from phase8.regression.findings import gate_report
from phase8.regression.latency import Timed
from phase8.regression.timing import time_against
from phase8.regression.worktree import Tree, run_there, tree_at, works_there
from phase8.stages.flow import Flow
from suites.unit import gates
from suites.unit.profiles import READY

POCKET = loading.load("pocket")
WORK = json.dumps({"latency": POCKET.profile.latency.model_dump(mode="json")})


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    ran = subprocess.run(["git", "-C", str(folder), *name, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits, the first tagged; it stands for this one."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = ["one"]\n')
    (root / "constraints.txt").write_text("one==1\n")
    (root / ".gitignore").write_text("build/\n")
    (root / "mine.toml").write_text("")
    git(root, "init", "-q")
    for text in ("first", "second"):
        (root / "code").write_text(text)
        git(root, "add", "-A")
        git(root, "commit", "-qm", text)
    git(root, "tag", "old", "HEAD~1")
    monkeypatch.setattr(against, "ROOT", root)
    return root


def located(root: Path) -> Located:
    """A profile of the repository."""
    return Located(path=root / "mine.toml", profile=POCKET.profile)


@pytest.mark.parametrize("damage", ["changed", "gone", "no git", "another commit"])
def test_a_damaged_checkout_is_made_anew(repository: Path, damage: str) -> None:
    """What an interrupted git or a curious person left is not what is measured."""
    there = tree_at("old", located(repository), repository / "build", print)
    if damage == "another commit":
        git(there.folder, "checkout", "-q", git(repository, "rev-parse", "HEAD"))
    else:
        for path in [there.folder / {"changed": "code", "gone": "pyproject.toml", "no git": ".git"}[damage]]:
            path.unlink()
    if damage == "changed":
        (there.folder / "code").write_text("other")
    again = tree_at("old", located(repository), repository / "build", print)
    assert again == there
    assert (again.folder / "code").read_text() == "first"
    assert git(again.folder, "status", "--porcelain") == ""


def test_this_commit_unchanged_is_this_checkout(repository: Path) -> None:
    """Nothing is checked out twice; a changed file makes it another state."""
    here = tree_at("HEAD", located(repository), repository / "build", print)
    assert here.folder == repository
    (repository / "code").write_text("third")
    there = tree_at("HEAD", located(repository), repository / "build", print)
    assert (there.folder / "code").read_text() == "second"


def test_another_commit_is_checked_out_once(repository: Path) -> None:
    """With the same pins it runs on the same Python; its profile is its own."""
    said: list[str] = []
    for _ in range(2):
        tree = tree_at("old", located(repository), repository / "build", said.append)
    assert (tree.folder / "code").read_text() == "first"
    assert tree.commit == git(repository, "rev-parse", "old")
    assert tree.profile(located(repository)) == str(tree.folder / "mine.toml")
    assert tree.profile(POCKET) == str(POCKET.path.resolve())
    assert len(said) == 1


def test_what_git_does_not_hold_is_used_from_here(repository: Path) -> None:
    """An uncommitted profile as it is; by links what git ignores and the older profile names."""
    (repository / ".gitignore").write_text("build/\nmodels/\nnew.toml\n")
    text = (
        READY.replace('path = "tuned"', 'path = "models/v1"') + '[corpus]\nkind = "files"\ntest = "models/rows.jsonl"\n'
    )
    (repository / "mine.toml").write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "third")
    git(repository, "tag", "--force", "old")
    for name in ("v1", "v2"):
        (repository / "models" / name).mkdir(parents=True)
        (repository / "models" / name / "config.json").write_text(name)
    (repository / "models" / "rows.jsonl").write_text("a row")
    (repository / "mine.toml").write_text(text.replace("v1", "v2"))
    git(repository, "commit", "-qam", "fourth")
    (repository / "new.toml").write_text(text)
    committed, uncommitted = (load(str(repository / name)) for name in ("mine.toml", "new.toml"))
    for _ in range(2):  # what is lent does not make the worktree a damaged one
        said: list[str] = []
        tree = tree_at("old", committed, repository / "build", said.append)
    assert said == []
    assert (tree.folder / "models" / "v1" / "config.json").read_text() == "v1"
    assert (tree.folder / "models" / "rows.jsonl").read_text() == "a row"
    assert not (tree.folder / "models" / "v2").exists()
    assert tree.profile(committed) == str(tree.folder / "mine.toml")
    assert tree.profile(uncommitted) == str(repository / "new.toml")


def test_other_pins_have_an_environment_of_their_own(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared by that commit's own noxfile; one that cannot be is invalid."""
    (repository / "constraints.txt").write_text("one==2\n")
    git(repository, "commit", "-qam", "newer")
    (repository / "noxfile.py").write_text("")
    with pytest.raises(InvalidInput, match=r"the environment of [0-9a-f]{12} cannot be prepared"):
        tree_at("old", located(repository), repository / "build", print)
    monkeypatch.setattr(against, "_environment", lambda *_: "its python")
    assert tree_at("old", located(repository), repository / "build", print).python == "its python"


def test_what_git_does_not_know_is_said(repository: Path) -> None:
    """A shallow clone may lack the baseline's commit."""
    with pytest.raises(InvalidInput, match="nowhere is no commit of this clone"):
        tree_at("nowhere", located(repository), repository / "build", print)


def test_an_older_harness_that_cannot_say_is_quoted(repository: Path) -> None:
    """Its last line."""
    tree = Tree(repository, "false", "0" * 40)
    with pytest.raises(InvalidInput, match="commit 000000000000 cannot say how its variants are measured: nothing"):
        works_there(tree, located(repository), repository / "build", ["base"])


@pytest.mark.parametrize("code", [0, 2, 130])
def test_an_earlier_run_there_does_not_stand_for_one_that_wrote_none(repository: Path, code: int) -> None:
    """Whatever that commit's harness ended with."""
    package, reports = repository / "harness", repository / "build" / "reports"
    for folder in (package, reports):
        folder.mkdir(parents=True)
    (package / "__main__.py").write_text(f"raise SystemExit({code})")
    (reports / "run.json").write_text("{}")
    tree = Tree(repository, sys.executable, "0" * 40)
    with pytest.raises(InvalidInput, match=f"ended there with {code} and left no run"):
        run_there(tree, located(repository), repository / "build", reports, print)


def test_a_run_there_that_was_refused_is_none(repository: Path) -> None:
    """Though it left a file."""
    package, reports = repository / "harness", repository / "build" / "reports"
    package.mkdir()
    (package / "__main__.py").write_text(f"open({str(reports / 'run.json')!r}, 'w'); raise SystemExit(2)")
    tree = Tree(repository, sys.executable, "0" * 40)
    with pytest.raises(InvalidInput, match="ended there with 2"):
        run_there(tree, located(repository), repository / "build", reports, print)


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """Pocket with an empty store."""
    return Flow(POCKET, Store(tmp_path))


def test_replaced_weights_are_timed_on_both_sides(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that holds today's at both commits: code and environment are compared, and the finding says so."""
    run = gates.whole_run()
    changed = [v.model_copy(update={"artefact": "new"}) if v.name == "fused-5bit" else v for v in run.variants]
    after = run.model_copy(update={"variants": tuple(changed)})
    work = {"artefact": "new", "queries": ["a"], "json": WORK}
    monkeypatch.setattr(gate_latency, "tree_at", lambda *_: Tree(Path(), "python", "0" * 40))
    monkeypatch.setattr(gate_latency, "works_there", lambda *_: {"fused-5bit": work})
    monkeypatch.setattr(gate_latency, "_here", lambda *_: Measurable(work="{}", queries=("a",)))
    monkeypatch.setattr(gate_latency, "looks", lambda pairs, *_: [gates.timed(name) for name in pairs])
    found = time_against(flow, after, run, None, print)
    assert (dict(found.replaced), dict(found.undecided)) == ({"fused-5bit": "key-fused-5bit"}, {})
    findings = compare_with_baseline(after, run, gates.PROFILE, found)
    (timing,) = [one for one in findings if (one.check, one.subject) == ("latency", "fused-5bit")]
    assert (timing.outcome, timing.blocks) == ("regressed", True)
    assert timing.detail.startswith("the baseline's weights (key-fused-5bit) are not here, both sides ran today's")
    fine = gates.timed(quantities=gates.timed().quantities[1:])
    findings = compare_with_baseline(after, run, gates.PROFILE, found._replace(blocked=(fine,)))
    (timing,) = [one for one in findings if (one.check, one.subject) == ("latency", "fused-5bit")]
    assert (timing.outcome, timing.blocks) == ("not judged", False)  # the new weights were compared with nothing


def test_a_baseline_of_another_lane_or_without_commit_is_not_timed(flow: Flow) -> None:
    """And the reason goes into the finding."""
    run = gates.whole_run()
    other = time_against(flow, run, gates.whole_run(lane="pocket--elsewhere"), None, print)
    assert other.why["fused-5bit"] == "the baseline is of another lane"
    assert other.why["fused-8bit"].startswith("gate.latency.variants of the profile leaves it out")
    commitless = run.model_copy(update={"environment": run.environment.model_copy(update={"commit": None})})
    found = time_against(flow, run, commitless, None, print)
    told = "the baseline does not say which commit it was measured at"
    assert found.why["fused-5bit"] == told
    findings = compare_with_baseline(run, commitless, POCKET.profile, found)
    lacking = [one for one in findings if one.outcome == "missing"]
    assert [(one.check, one.subject, one.blocks) for one in lacking] == [("latency", "run", True)]
    assert lacking[0].detail == f"{told}. Or time nothing: gate.latency.variants = [] in the profile"


@pytest.mark.parametrize(
    ("artefact", "size", "told"),
    [
        ("another", 10**6, "the baseline's weights are not here: key-fused-5bit wanted, found another"),
        ("key-fused-5bit", 10**15, "both sides need 1000000.3 GB of memory together"),
    ],
)
def test_what_cannot_be_set_side_by_side_says_why(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, artefact: str, size: int, told: str
) -> None:
    """Weights that are gone, and models that memory does not hold twice."""
    monkeypatch.setattr(gate_latency, "tree_at", lambda *_: Tree(Path(), "python", "0" * 40))
    monkeypatch.setattr(gate_latency, "works_there", lambda *_: {"fused-5bit": {"artefact": artefact, "json": WORK}})
    monkeypatch.setattr(gate_latency, "looks", lambda pairs, *_: list(pairs))
    run = gates.whole_run()
    large = [v.model_copy(update={"memory": None, "size_bytes": size}) for v in run.variants]
    found = time_against(flow, run.model_copy(update={"variants": tuple(large)}), run, None, print)
    assert told in found.undecided["fused-5bit"]
    assert found.blocked == ()
    assert "fused-5bit" not in found.why
    findings = compare_with_baseline(run, run, gates.PROFILE, found)
    (timing,) = [one for one in findings if (one.check, one.subject) == ("latency", "fused-5bit")]
    assert (timing.outcome, timing.blocks) == ("inconclusive", True)
    assert gate_report(findings).exit_code == 3


def test_other_fixed_work_is_not_compared(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as many tokens would be read in half the time, whatever the code costs."""
    theirs = json.dumps({"latency": {"prefill_tokens": 1}})
    monkeypatch.setattr(gate_latency, "tree_at", lambda *_: Tree(Path(), "python", "0" * 40))
    work = {"fused-5bit": {"artefact": "key-fused-5bit", "json": theirs}}
    monkeypatch.setattr(gate_latency, "works_there", lambda *_: work)
    run = gates.whole_run()
    assert time_against(flow, run, run, None, print).undecided["fused-5bit"].startswith("other fixed work:")


def test_the_same_files_under_another_key_are_the_same_weights(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code may write the same bytes: then the runtime is judged strictly, and old is timed against new."""
    run = gates.whole_run()
    before = gates.with_variant(run, "fused-5bit", content="same")
    after = gates.with_variant(run, "fused-5bit", content="same", artefact="other")
    findings = {(one.check, one.subject) for one in compare_with_baseline(after, before, gates.PROFILE)}
    assert ("runtime", "fused-5bit") in findings
    work = {"artefact": "a third", "content": "same", "queries": ["a"], "json": WORK}
    monkeypatch.setattr(gate_latency, "tree_at", lambda *_: Tree(Path(), "python", "0" * 40))
    monkeypatch.setattr(gate_latency, "works_there", lambda *_: {"fused-5bit": work})
    monkeypatch.setattr(gate_latency, "_here", lambda *_: Measurable(work="{}", queries=("a",)))
    monkeypatch.setattr(gate_latency, "looks", lambda pairs, *_: [gates.timed(name) for name in pairs])
    found = time_against(flow, after, before, None, print)
    assert [one.variant for one in found.blocked] == ["fused-5bit"]
    assert found.replaced == {}


def test_what_could_not_be_timed_is_not_let_pass_as_inconclusive() -> None:
    """``gate.inconclusive_blocks = false`` is about a loss that cannot be ruled out, not about nothing measured."""
    run, lenient = gates.whole_run(), gates.PROFILE.gate.model_copy(update={"inconclusive_blocks": False})
    found = Timed((), {}, undecided={"fused-5bit": "no memory"})
    findings = compare_with_baseline(run, run, gates.PROFILE.model_copy(update={"gate": lenient}), found)
    assert gate_report(findings).exit_code == 3
