"""Folders that were made elsewhere."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import FileHashes
from phase8.core.folder_key import folder_key
from phase8.stages import external
from phase8.stages.external import external_folder, fetch_hub_models
from suites.unit.profiles import flow, located


@pytest.fixture
def remembered(tmp_path: Path) -> Path:
    """Where file hashes are remembered."""
    return tmp_path / "hashes" / "file-hashes.json"


def keeping(remembered: Path) -> FileHashes:
    """The hashes of something that builds."""
    hashes = FileHashes(remembered)
    hashes.keep()
    return hashes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the files of a model."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "merges.txt", "chat_template.jinja"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "merges.txt", "chat_template.jinja"])
def test_the_key_of_a_folder_changes_with_each_of_its_files(model: Path, name: str) -> None:
    """Other contents are another model."""
    before = folder_key(model)
    (model / name).write_text("something else")
    assert folder_key(model) != before


def test_the_key_of_a_folder_does_not_change_with_its_place(model: Path) -> None:
    """A moved model is the same model."""
    before = folder_key(model)
    assert folder_key(model.rename(model.with_name("moved"))) == before


def test_hashes_are_remembered(model: Path, remembered: Path) -> None:
    """A second look reads no weights."""
    before = folder_key(model, keeping(remembered))
    assert str(model / "model.safetensors") in remembered.read_text()
    changed = dict.fromkeys(json.loads(remembered.read_text()), "0" * 64)
    remembered.write_text(json.dumps(changed))
    assert folder_key(model, FileHashes(remembered)) != before == folder_key(model)


def test_what_only_looks_writes_no_hashes(model: Path, remembered: Path, tmp_path: Path) -> None:
    """They are written when something is built, and what another process has written meanwhile stays."""
    hashes = FileHashes(remembered)
    folder_key(model, hashes)
    assert not remembered.parent.exists()
    other = tmp_path / "other.json"
    other.write_text("{}")
    keeping(remembered).of(other)
    hashes.keep()
    assert len(json.loads(remembered.read_text())) == 5


def test_hashes_are_remembered_in_the_build_folder_when_something_is_built(model: Path, tmp_path: Path) -> None:
    """Not in the checkout, wherever the build folder is; and not for the keys of a plan."""
    stages = flow(located(tmp_path), tmp_path / "elsewhere")
    variant = stages.variant("tuned")
    assert variant.key == folder_key(model)
    assert not stages.store.root.exists()
    stages.store.ensure(replace(stages.replies(variant), make=lambda out: (out / "x").touch()))
    assert str(model / "model.safetensors") in (stages.store.root / ".file-hashes.json").read_text()


def test_the_key_of_a_folder_covers_all_that_a_fused_folder_takes_over(model: Path) -> None:
    """Templates in a folder of their own, and a vocabulary of any name."""
    keys = {folder_key(model)}
    for name in ("additional_chat_templates/tools.jinja", "vocab.bpe", "source.spm", "tokenizer.model.v3"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(name)
        keys.add(folder_key(model))
    (model / "training.log").write_text("not of the model")
    assert len(keys) == 5
    assert folder_key(model) in keys


def test_another_model_of_the_same_size_and_time_is_another_model(model: Path) -> None:
    """Copied with its time of change kept, as ``cp -p`` does it."""
    weights = model / "model.safetensors"
    os.utime(weights, (1, 1))
    before = folder_key(model)
    text = weights.read_text()
    weights.unlink()
    weights.write_text(text[::-1])
    os.utime(weights, (1, 1))
    assert folder_key(model) != before


def test_a_folder_beside_the_profile_goes_before_a_hub(model: Path, tmp_path: Path) -> None:
    """Its key is that of its contents."""
    assert external_folder(located(tmp_path), "tuned").key == folder_key(model)
    assert external_folder(located(tmp_path), "owner/model").key.startswith("hub-")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", '{"a": 1}', "null"])
def test_damaged_remembered_hashes_are_made_again(model: Path, remembered: Path, text: str) -> None:
    """They are no reason to stop."""
    before = folder_key(model, keeping(remembered))
    kept = remembered.read_text()
    remembered.write_bytes(text.encode("latin-1"))
    assert folder_key(model, keeping(remembered)) == before
    assert remembered.read_text() == kept


def test_the_key_of_a_hub_model_changes_with_its_cached_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the folder is that of the commit in the key, though the branch has moved since."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cached = tmp_path / "models--owner--model"
    found = []
    for commit in (None, "a" * 40, "b" * 40):
        if commit:
            (cached / "refs").mkdir(parents=True, exist_ok=True)
            (cached / "refs" / "main").write_text(commit)
            (cached / "snapshots" / commit).mkdir(parents=True)
        external._cached_commit.cache_clear()
        found.append(external_folder(located(tmp_path), "owner/model"))
    external._cached_commit.cache_clear()
    assert len({source.key for source in found}) == 3
    assert [source.path().name for source in found[1:]] == ["a" * 40, "b" * 40]


def test_a_hub_model_has_the_same_key_in_the_first_run_and_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fetched before anything is keyed by it, once; what leaves no commit is refused."""
    from huggingface_hub import constants

    asked: list[str] = []

    def download(name: str, commit: str | None) -> Path:
        asked.append(name)
        folder = tmp_path / f"models--{name.replace('/', '--')}"
        (folder / "snapshots" / ("c" * 40)).mkdir(parents=True)
        if name == "owner/model":
            (folder / "refs").mkdir()
            (folder / "refs" / "main").write_text("c" * 40)
        return folder / "snapshots" / ("c" * 40)

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(external, "_download", download)
    external._cached_commit.cache_clear()
    profile = located(tmp_path, ('path = "tuned"', 'path = "owner/model"'))
    keys = []
    for _ in range(2):
        fetch_hub_models(profile)
        keys.append(external_folder(profile, "owner/model").key)
    assert keys[0] == keys[1]
    assert asked == ["owner/model"]
    with pytest.raises(InvalidInput, match="owner/other: the hub's cache does not say which commit"):
        fetch_hub_models(located(tmp_path, ('path = "tuned"', 'path = "owner/other"')))
    external._cached_commit.cache_clear()


@pytest.mark.parametrize("name", ["tuned", "./models/tuned", "/models/tuned", "my models/tuned", "a/b/c", "owner/"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(tmp_path: Path, name: str) -> None:
    """With the folder that was looked for."""
    with pytest.raises(InvalidInput, match="no such folder .*not a hub id like owner/model"):
        external_folder(located(tmp_path), name)
