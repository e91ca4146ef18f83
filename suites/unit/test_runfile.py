"""``run.json`` on disk."""

import json
from pathlib import Path

import pytest

from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.record.files import load_run, save_run, schema, schema_text
from suites.unit.records import record, training


def test_a_saved_run_is_read_back_unchanged(tmp_path: Path) -> None:
    """From the file and from its folder."""
    save_run(record(), tmp_path)
    assert load_run(tmp_path) == load_run(tmp_path / "run.json") == record()


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """Folders are made, temporary files are not left."""
    file = tmp_path / "new" / "run.json"
    save_run(record(), file)
    save_run(record(partial=True), file)
    assert load_run(file).partial
    assert [path.name for path in file.parent.iterdir()] == ["run.json"]


def test_a_number_that_json_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    """A loss that is NaN would be written as null and could not be read back."""
    with pytest.raises(InvalidInput, match=r"training\.train_loss\.0\.1: nan"):
        save_run(record(training=training(train_loss=((1, float("nan")),))), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_schema_accepts_a_written_run(tmp_path: Path) -> None:
    """The schema is valid itself, and describes what is written."""
    save_run(record(), tmp_path)
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads((tmp_path / "run.json").read_text(encoding="utf-8")), schema())


def test_the_schema_refuses_unknown_keys(tmp_path: Path) -> None:
    """A misspelt key is not ignored."""
    values = json.loads(record().model_dump_json()) | {"verdict": []}
    import jsonschema

    with pytest.raises(jsonschema.ValidationError, match="verdict"):
        jsonschema.validate(values, schema())


def test_the_committed_schema_is_up_to_date() -> None:
    """Run ``python -m phase8.record.files > docs/run.schema.json`` where this fails."""
    assert (ROOT / "docs" / "run.schema.json").read_text(encoding="utf-8") == schema_text()


def test_a_missing_run_names_the_file(tmp_path: Path) -> None:
    """An empty folder holds no run."""
    with pytest.raises(InvalidInput, match=r"run\.json: no such file"):
        load_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"seconds": NaN}', b"[" * 100_000])
def test_a_broken_file_is_invalid_input(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with the bytes, the message names the file."""
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"run\.json: not "):
        load_run(file)


def test_a_file_that_is_not_an_object_is_invalid_input(tmp_path: Path) -> None:
    """A list is JSON, but no run record."""
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InvalidInput, match="found list"):
        load_run(tmp_path)


@pytest.mark.parametrize("version", [2, None, "1", True])
def test_another_schema_version_is_refused(tmp_path: Path, version: object) -> None:
    """Found and allowed are both in the message."""
    values = json.loads(record().model_dump_json()) | {"schema_version": version}
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(InvalidInput, match=rf"schema_version: found {version!r}.* reads 1"):
        load_run(tmp_path)


def test_a_wrong_value_is_named_by_its_key(tmp_path: Path) -> None:
    """The dotted key leads to the place."""
    values = json.loads(record().model_dump_json())
    values["variants"][0]["replies"][0]["label"] = "maybe"
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(InvalidInput, match=r"variants\.0\.replies\.0\.label: .*Found: 'maybe'"):
        load_run(tmp_path)
