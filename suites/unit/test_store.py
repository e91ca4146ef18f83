"""Artefacts: found by what they are made from, or built; never half of one."""

import errno
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from phase8.core.artefact import MANIFEST, Step, code_of, digest, read_manifest
from phase8.core.errors import InvalidInput
from phase8.core.store import PARTIAL, Store, size_on_disk
from phase8.profile.loading import load
from phase8.stages.flow import Flow
from phase8.survival.stage import SurvivalStage


def write(out: Path) -> None:
    """Make a small artefact."""
    (out / "data").mkdir(exist_ok=True)
    (out / "data" / "rows.txt").write_text("rows")
    (out / "notes.txt").write_text("notes")


def step(make: Callable[[Path], None] = write, **changes: Any) -> Step:
    """A step of stage ``corpus``."""
    values: dict[str, Any] = {"stage": "corpus", "version": 1, "inputs": {"seed": 8, "tool_share": 0.7}}
    return Step(**{**values, **changes}, make=make)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "build")


def refuse(out: Path) -> None:
    """A build that must not happen."""
    raise AssertionError("it was built again")


def stop_halfway(out: Path) -> None:
    """A build that is interrupted."""
    (out / "half.txt").write_text("half")
    raise KeyboardInterrupt


def test_an_artefact_is_built_once_and_then_found(store: Store) -> None:
    """The same inputs give the same folder."""
    path = store.ensure(step())
    assert (path / "data" / "rows.txt").read_text() == "rows"
    assert store.ensure(step(refuse)) == store.find(step()) == path


def test_a_manifest_says_what_an_artefact_is_made_from(store: Store) -> None:
    """Inputs and the hash of every file."""
    manifest = read_manifest(store.ensure(step()))
    assert manifest.inputs == {"seed": 8, "tool_share": 0.7}
    assert sorted(manifest.files) == ["data/rows.txt", "notes.txt"]


def test_an_interrupted_build_is_never_found(store: Store) -> None:
    """Nor is anything of it left."""
    with pytest.raises(KeyboardInterrupt):
        store.ensure(step(stop_halfway))
    assert store.find(step()) is None
    assert list(store.artefacts()) == []
    assert sorted(path.name for path in store.ensure(step()).iterdir()) == ["data", MANIFEST, "notes.txt"]


def test_a_folder_without_a_manifest_is_never_found(store: Store) -> None:
    """The manifest is written last."""
    path = store.path(step())
    path.mkdir(parents=True)
    write(path)
    assert store.find(step()) is None
    assert read_manifest(store.ensure(step())).key == step().key


@pytest.mark.parametrize("text", ["", "{", "{}", "\x00"])
def test_a_broken_manifest_means_rebuild(store: Store, text: str) -> None:
    """A disk that lost it is no reason to stop."""
    (store.ensure(step()) / MANIFEST).write_text(text)
    assert store.find(step()) is None
    assert store.verify() == {store.path(step()): ["unreadable manifest"]}
    path = store.ensure(step())
    assert store.find(step()) == path


def test_a_manifest_without_files_means_rebuild(store: Store) -> None:
    """It would hold for an empty folder."""
    path = store.ensure(step())
    manifest = read_manifest(path).model_copy(update={"files": {}})
    (path / MANIFEST).write_text(manifest.model_dump_json())
    assert store.verify() == {path: ["its manifest names no files"]}
    assert read_manifest(store.ensure(step())).files


def test_a_copy_of_another_artefact_means_rebuild(store: Store) -> None:
    """Its files are what its own manifest says, yet made from something else."""
    other = store.path(step(version=2))
    shutil.copytree(store.ensure(step()), other)
    assert store.verify()[other] == [f"its manifest is that of corpus {step().key}"]
    assert read_manifest(store.ensure(step(version=2))).key == other.name


def test_a_folder_in_place_of_the_manifest_means_rebuild(store: Store) -> None:
    """It cannot be read."""
    path = store.ensure(step())
    (path / MANIFEST).unlink()
    (path / MANIFEST).mkdir()
    assert store.verify() == {path: ["unreadable manifest"]}
    store.ensure(step())
    assert store.verify() == {path: []}


@pytest.mark.parametrize("resumable", [True, False])
def test_a_file_in_place_of_an_artefact_is_replaced(store: Store, resumable: bool) -> None:
    """Also where it is to be built."""
    for place in (store.path(step()), store.root / PARTIAL / f"corpus-{step().key}"):
        place.parent.mkdir(parents=True)
        place.write_text("a file")
    assert store.find(step()) is None
    assert store.verify() == {}
    path = store.ensure(step(resumable=resumable))
    assert store.verify() == {path: []}


@pytest.mark.parametrize("lives", [0, 1, 2])
def test_a_file_that_goes_away_meanwhile_has_no_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: int
) -> None:
    """Another run finishes its build while this one counts: the file is gone after so many looks at it."""
    (tmp_path / "kept").write_text("12345")
    (tmp_path / "gone").write_text("12345")
    real, looks = Path.stat, []

    def stat(path: Path, **options: bool) -> os.stat_result:
        if path.name == "gone":
            looks.append(path)
            if len(looks) > lives:
                path.unlink(missing_ok=True)
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert size_on_disk(tmp_path) == (5 if len(looks) > lives else 10)


def test_a_missing_file_means_rebuild(store: Store) -> None:
    """Half an artefact is none."""
    (store.ensure(step()) / "notes.txt").unlink()
    assert store.find(step()) is None
    assert (store.ensure(step()) / "notes.txt").read_text() == "notes"


def test_a_damaged_file_is_found_by_verify(store: Store) -> None:
    """Even one of the same size, which a quick look does not see."""
    path = store.ensure(step())
    assert store.verify() == {path: []}
    (path / "notes.txt").write_text("nodes")
    assert store.verify() == {path: ["notes.txt has other contents than when it was built"]}
    (path / "notes.txt").write_text("longer notes")
    assert store.verify() == {path: ["notes.txt has 12 bytes, not 5"]}


def test_files_beside_the_stages_are_no_artefacts(store: Store) -> None:
    """The hashes of model folders are remembered there."""
    path = store.ensure(step())
    (store.root / "file-hashes.json").write_text("{}")
    assert list(store.artefacts()) == [path]


def test_a_resumable_step_gets_its_partial_result_back(store: Store) -> None:
    """Training goes on from its last checkpoint."""
    seen = []

    def go_on(out: Path) -> None:
        seen.append((out / "half.txt").read_text())

    with pytest.raises(KeyboardInterrupt):
        store.ensure(step(stop_halfway, resumable=True))
    assert store.find(step()) is None
    store.ensure(step(go_on, resumable=True))
    assert seen == ["half"]


def test_a_step_that_is_not_resumable_starts_empty(store: Store) -> None:
    """Whatever a killed process left there."""
    partial = store.root / ".partial" / f"corpus-{step().key}"
    partial.mkdir(parents=True)
    (partial / "half.txt").write_text("half")
    assert not (store.ensure(step()) / "half.txt").exists()


def test_an_attempt_killed_before_its_rename_is_finished_cleanly(store: Store) -> None:
    """Its manifest is not taken for one of its files."""
    partial = store.root / ".partial" / f"corpus-{step().key}"
    partial.mkdir(parents=True)
    (partial / MANIFEST).write_text("{}")
    path = store.ensure(step(resumable=True))
    assert MANIFEST not in read_manifest(path).files
    assert store.verify() == {path: []}


@pytest.mark.parametrize("resumable", [True, False])
def test_a_full_disk_is_said_and_checkpoints_are_kept(store: Store, resumable: bool) -> None:
    """Hours of training are not thrown away for it."""

    def fill(out: Path) -> None:
        (out / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InvalidInput, match="corpus: the disk below .* is full"):
        store.ensure(step(fill, resumable=resumable))
    assert (store.root / ".partial" / f"corpus-{step().key}" / "half.txt").exists() == resumable


def test_a_build_that_needs_more_disk_than_there_is_does_not_start(store: Store) -> None:
    """What is needed and what is free are both named."""
    with pytest.raises(InvalidInput, match=r"needs 1000000000.0 GB of disk .* GB are free"):
        store.ensure(step(refuse, disk_gb=1e9))


def test_a_step_that_makes_nothing_is_refused(store: Store) -> None:
    """An empty artefact would be found forever."""
    with pytest.raises(InvalidInput, match="corpus: nothing was built"):
        store.ensure(step(lambda _: None))
    assert store.find(step()) is None


def _build_slowly(root: Path, together: Barrier) -> None:
    def make(out: Path) -> None:
        with (root / "built.txt").open("a") as log:
            log.write("built\n")
        time.sleep(0.3)
        write(out)

    together.wait()
    Store(root / "build").ensure(step(make))


def test_two_processes_build_the_same_artefact_once(tmp_path: Path) -> None:
    """The second waits and finds it."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    processes = [context.Process(target=_build_slowly, args=(tmp_path, together)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "built.txt").read_text() == "built\n"
    assert Store(tmp_path / "build").find(step()) is not None


def test_prune_frees_what_nobody_needs(store: Store) -> None:
    """Artefacts that are not kept, and unfinished builds."""
    kept, old = store.ensure(step()), store.ensure(step(version=2))
    with pytest.raises(KeyboardInterrupt):
        store.ensure(step(stop_halfway, version=3, resumable=True))
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file())
    assert store.prune({kept}) == size + len("half")
    assert list(store.artefacts()) == [kept]
    assert store.verify() == {kept: []}
    assert not list((store.root / ".partial").iterdir())


def test_prune_keeps_an_interrupted_training_of_a_kept_profile(store: Store) -> None:
    """Its checkpoints are what the next run goes on from."""
    training = step(stop_halfway, resumable=True)
    with pytest.raises(KeyboardInterrupt):
        store.ensure(training)
    assert store.prune({store.path(training), store.partial(training)}) == 0
    assert (store.partial(training) / "half.txt").read_text() == "half"


def test_prune_touches_only_what_is_named_like_an_artefact(store: Store) -> None:
    """A folder of the user's below another --build is none."""
    theirs = store.root / "photos" / "2024" / "beach.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("sand")
    assert store.prune(set()) == 0
    assert theirs.read_text() == "sand"


def test_prune_leaves_what_is_being_built(store: Store) -> None:
    """The build's own folder, and one that a benchmark works in; both are gone when they are done."""
    left: list[list[str]] = []

    def prune_meanwhile(out: Path) -> None:
        write(out)
        with store.workspace("bench") as folder:
            (folder / "half.txt").write_text("half")
            assert store.prune(set()) == 0
            left.append(sorted(path.name for path in (out / "notes.txt", folder / "half.txt") if path.exists()))
        assert not folder.exists()

    path = store.ensure(step(prune_meanwhile))
    assert left == [["half.txt", "notes.txt"]]
    assert not list((store.root / PARTIAL).iterdir())
    assert store.verify() == {path: []}


def test_prune_frees_what_a_killed_benchmark_left(store: Store) -> None:
    """Nobody holds its lock; a file there is no reason to stop."""
    killed = store.root / PARTIAL / "bench-1"
    killed.mkdir(parents=True)
    (killed / "half.txt").write_text("half")
    (store.root / PARTIAL / "stray.txt").write_text("stray")
    assert store.prune(set()) == len("half") + len("stray")
    assert not list((store.root / PARTIAL).iterdir())


@pytest.mark.parametrize("change", [{"version": 2}, {"stage": "pool"}, {"inputs": {"seed": 9, "tool_share": 0.7}}])
def test_a_key_changes_with_stage_version_and_inputs(change: dict[str, Any]) -> None:
    """Any of them makes another artefact."""
    assert step(**change).key != step().key


@pytest.mark.parametrize("change", [{"note": "x"}, {"disk_gb": 1.0}, {"resumable": True}])
def test_a_key_does_not_change_with_what_cannot_change_the_result(change: dict[str, Any]) -> None:
    """Notes and needs are not inputs."""
    assert step(**change).key == step().key


def test_a_key_does_not_depend_on_the_order_of_a_dict() -> None:
    """At any depth."""
    assert digest({"a": {"x": 1, "y": 2}, "b": 3}) == digest({"b": 3, "a": {"y": 2, "x": 1}})
    assert step(inputs={"tool_share": 0.7, "seed": 8}).key == step().key


def together(store: Store, made: list[list[str]]) -> Callable[[list[tuple[Step, Path]]], None]:
    """What makes several steps in one go, and notes which."""

    def make(outs: list[tuple[Step, Path]]) -> None:
        made.append([step.inputs["bits"] for step, _ in outs])
        for _, out in outs:
            assert out.parent.parent == store.root
            write(out)

    return make


def widths(*bits: int) -> list[Step]:
    """Steps that one pass can make; alone they may not."""
    return [step(refuse, inputs={"bits": width}) for width in bits]


def test_steps_made_together_are_found_one_by_one(store: Store) -> None:
    """Only those that are missing are made, in one call."""
    made: list[list[str]] = []
    store.ensure_all(widths(5), together(store, made))
    paths = store.ensure_all(widths(8, 5, 4, 8), together(store, made))
    assert made == [[5], [8, 4]]
    assert paths == [store.ensure(wanted) for wanted in widths(8, 5, 4, 8)]
    assert read_manifest(paths[2]).inputs == {"bits": 4}
    store.ensure_all(widths(4, 5), together(store, made))
    assert len(made) == 2


def test_an_interrupted_pass_leaves_none_of_its_artefacts(store: Store) -> None:
    """Not even of those that it had written to the end; what was there before stays."""
    store.ensure_all(widths(5), together(store, []))

    def stop(outs: list[tuple[Step, Path]]) -> None:
        write(outs[0][1])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.ensure_all(widths(4, 5, 8), stop)
    assert [store.find(wanted) is not None for wanted in widths(4, 5, 8)] == [False, True, False]
    assert list((store.root / ".partial").iterdir()) == []


def test_a_pass_that_leaves_one_folder_empty_is_refused(store: Store) -> None:
    """An artefact without files is none."""
    with pytest.raises(InvalidInput, match="nothing was built"):
        store.ensure_all(widths(4, 8), lambda outs: write(outs[0][1]))
    assert store.find(widths(8)[0]) is None


def test_code_that_decides_a_result_is_part_of_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed line is another hash; other files do not count."""
    monkeypatch.setattr("phase8.core.artefact.PACKAGE", tmp_path)
    found = []
    for asked, other in (("a = 1\n", ""), ("a = 1\n", "b = 2\n"), ("a = 2\n", "")):
        (tmp_path / "asked.py").write_text(asked, encoding="utf-8")
        (tmp_path / "other.py").write_text(other, encoding="utf-8")
        code_of.cache_clear()
        found.append(code_of("asked.py"))
    code_of.cache_clear()
    assert found[0] == found[1] != found[2]


def test_what_is_asked_scored_and_fused_is_keyed_by_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another commit's code asks and fuses anew; the adapter stays."""
    keys = []
    for code in ("this", "that"):
        for module in ("stages.flow", "stages.fused"):
            monkeypatch.setattr(f"phase8.{module}.code_of", lambda *_, code=code: code)
        monkeypatch.setattr("phase8.survival.stage.code_of", lambda *_, code=code: code)
        flow = Flow(load("pocket"), Store(Path("build")))
        ladder = SurvivalStage(flow)
        variant = flow.variant("fused-5bit")
        steps = flow.replies(variant), ladder.scores(ladder.rung("fused-5bit")), flow.fused(5), flow.adapter
        keys.append([step.key for step in steps])
    assert [a == b for a, b in zip(*keys, strict=True)] == [False, False, False, True]
