"""The command line: bad input is one message and exit code 2, never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from phase8.cli.main import main
from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.profile.loading import load
from phase8.record.files import clear_reports
from phase8.runner import run as phase8
from suites.unit.profiles import READY, flow, smollm2, write_profile

FILES = """
[corpus]
kind = "files"
test = "test.jsonl"
"""
ROW = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n'
WIDTH = 32
TINY = {
    "model_type": "llama",
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "intermediate_size": WIDTH,
    "num_attention_heads": 1,
    "rms_norm_eps": 1e-5,
    "vocab_size": WIDTH,
    "tie_word_embeddings": True,
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one message that a command is refused with."""
    assert main([str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.count("error: ") == 1
    assert "Traceback" not in message
    return message


def build(folder: Path) -> tuple[str, str]:
    """Artefacts of the test's own."""
    return "--build", str(folder / "build")


def test_an_unknown_profile_is_refused_without_a_traceback() -> None:
    """As a user sees it, from a process of its own."""
    command = [sys.executable, "-m", "harness", "run", "--profile", "nosuch"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: profile 'nosuch' not found. Shipped profiles: pocket, qwen25-coder-7b")
    assert len(ran.stderr.splitlines()) == 1


def test_a_faulty_profile_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file and key."""
    path = write_profile(tmp_path, ("stop_sequences", "stop"))
    assert f"{path}: prompting.stop: unknown key" in refused(capsys, "run", "--profile", path, *build(tmp_path))


def test_an_unknown_variant_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is built, with those that there are."""
    message = refused(capsys, "run", "--profile", "pocket", "--variant", "fused-3bit", *build(tmp_path))
    assert "unknown variant 'fused-3bit'. This profile has: base, adapter, fused-8bit" in message
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("bits", ["3", "7"])
def test_a_width_that_the_profile_does_not_fuse_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bits: str
) -> None:
    """With those that it does, and where to add one."""
    message = refused(capsys, "fuse", "--profile", "pocket", "--bits", bits, *build(tmp_path))
    assert f"width {bits} is not in fuse.widths: 4, 5, 6, 8. Add it there." in message


def test_a_width_in_a_profile_that_does_not_exist_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its place in the file."""
    path = smollm2(tmp_path, ("[4, 5, 6, 8]", "[4, 7]"))
    assert "fuse.widths.1: Input should be 2, 3, 4, 5, 6 or 8" in refused(capsys, "fuse", "--profile", path)


def test_malformed_rows_are_refused_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user's own file, not a copy of it."""
    (tmp_path / "test.jsonl").write_text(ROW + '{"messages": []}\n')
    path = write_profile(tmp_path, text=READY + FILES)
    message = refused(capsys, "data", "--profile", path, *build(tmp_path))
    assert f"{tmp_path / 'test.jsonl'}:2: expected an object" in message


def test_rows_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even for a plan, which needs their hash."""
    path = write_profile(tmp_path, text=READY + FILES)
    (tmp_path / "tuned").mkdir()
    message = refused(capsys, "run", "--plan", "--profile", path, *build(tmp_path))
    assert f"{tmp_path / 'test.jsonl'}: no such file" in message


def test_a_profile_without_training_cannot_be_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It brings its models along."""
    path = write_profile(tmp_path)
    for command in ("probe", "train"):
        assert "[training] is missing" in refused(capsys, command, "--profile", path, *build(tmp_path))


def test_a_model_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And said to be no hub id either."""
    path = write_profile(tmp_path)
    message = refused(capsys, "run", "--profile", path, *build(tmp_path))
    assert f"'tuned': no such folder ({tmp_path / 'tuned'})" in message


def test_a_model_folder_without_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is named, and what is missing from it."""
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text(json.dumps(TINY))
    message = refused(capsys, "run", "--profile", write_profile(tmp_path), *build(tmp_path))
    assert f"{tmp_path / 'tuned'}: no model*.safetensors; the weights are missing" in message


def test_a_model_folder_without_tokenizer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole weights are not enough to answer."""
    write_tiny_model(tmp_path / "tuned")
    message = refused(capsys, "run", "--profile", write_profile(tmp_path), *build(tmp_path))
    assert f"{tmp_path / 'tuned'}: no tokenizer.json or tokenizer.model" in message


def test_a_file_in_place_of_the_build_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be kept in it."""
    (tmp_path / "build").write_text("")
    message = refused(capsys, "data", "--profile", "pocket", *build(tmp_path))
    assert f"{tmp_path / 'build'}: artefacts are kept in a folder" in message


def test_only_reports_are_cleared_away(tmp_path: Path) -> None:
    """A mistyped --reports must not cost a folder of something else; what a killed run left is ours."""
    for name in ("run.json", "report.html", ".run.json.4711"):
        (tmp_path / name).write_text("old")
    clear_reports(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run.json").write_text("old")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="something else than reports in it: thesis.txt"):
        clear_reports(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "thesis.txt"]
    with pytest.raises(InvalidInput, match="is a file"):
        clear_reports(tmp_path / "thesis.txt")


def test_a_command_that_does_not_exist_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse names those that do."""
    with pytest.raises(SystemExit) as caught:
        main(["rum"])
    assert caught.value.code == 2
    assert "'run', 'data', 'probe'" in capsys.readouterr().err


def test_listing_artefacts_beside_remembered_hashes_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file of hashes lies between the stages."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "file-hashes.json").write_text("{}")
    assert main(["artefacts", "list", *build(tmp_path)]) == 0
    assert "stage" in capsys.readouterr().out


def write_tiny_model(folder: Path) -> None:
    """A real one-layer model in mlx-lm's format, with no tokenizer."""
    from phase8.engine.arrays import mx

    layer, square = "model.layers.0", mx.zeros((WIDTH, WIDTH))
    weights = {
        "model.embed_tokens.weight": square,
        "model.norm.weight": mx.ones((WIDTH,)),
        f"{layer}.input_layernorm.weight": mx.ones((WIDTH,)),
        f"{layer}.post_attention_layernorm.weight": mx.ones((WIDTH,)),
        **{f"{layer}.self_attn.{name}_proj.weight": square for name in "qkvo"},
        **{f"{layer}.mlp.{name}_proj.weight": square for name in ("gate", "up", "down")},
    }
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps(TINY))


def user_profile(folder: Path, **splits: str) -> Path:
    """A profile with the user's own rows."""
    lines = "".join(f'{name} = "{file}"\n' for name, file in splits.items())
    path = folder / "mine.toml"
    path.write_text(READY + '[corpus]\nkind = "files"\n' + lines)
    return path


@pytest.mark.parametrize(("trained", "asked"), [("Hi", " hi "), ("What is a closure", "What is a closure?")])
def test_held_out_rows_that_were_trained_on_are_refused(
    trained: str, asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever their case, spaces and final mark; the first one is named."""
    (tmp_path / "train.jsonl").write_text(ROW.replace('"Hi"', json.dumps(trained)))
    (tmp_path / "test.jsonl").write_text(ROW.replace('"Hi"', json.dumps(asked)))
    path = user_profile(tmp_path, train="train.jsonl", test="test.jsonl")
    message = refused(capsys, "data", "--profile", path, *build(tmp_path))
    assert f"{tmp_path / 'test.jsonl'}: 1 of 1 held-out queries are in {tmp_path / 'train.jsonl'} too" in message
    (tmp_path / "test.jsonl").write_text(ROW.replace('"Hi"', '"Hello?"'))
    assert main(["data", "--profile", str(path), *build(tmp_path)]) == 0


def test_a_held_out_row_that_cannot_be_judged_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call of a tool that there is not, in the user's own file."""
    call = json.dumps('```json\n{"name": "nope", "arguments": {}}\n```')
    (tmp_path / "test.jsonl").write_text(ROW.replace('"Hello"', call))
    message = refused(capsys, "data", "--profile", user_profile(tmp_path, test="test.jsonl"), *build(tmp_path))
    assert f"{tmp_path / 'test.jsonl'}: conversation 1" in message


def test_nothing_that_pytest_stores_goes_into_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is told, pytest-benchmark makes a folder where it is started."""
    commands: list[list[str]] = []

    def record(command: list[str], **_: object) -> subprocess.CompletedProcess:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(phase8.subprocess, "run", record)
    (tmp_path / "tuned").mkdir()
    stages = flow(load(str(write_profile(tmp_path))), tmp_path / "build")
    assert phase8._judge_with_pytest(stages, [], tmp_path / "build", tmp_path / "reports") == 1
    (command,) = commands
    assert f"--benchmark-storage=file://{tmp_path / 'build' / 'history'}" in command


def test_prune_without_a_profile_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would take everything of every profile that is not shipped."""
    (tmp_path / "build").mkdir()
    assert "none is named" in refused(capsys, "artefacts", "prune", *build(tmp_path))


def test_an_earlier_verdict_does_not_stand_for_a_run_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model without its config: nothing is judged, and nothing says that all is well."""
    for folder in ("tuned", "reports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "reports" / "verdict.json").write_text('{"exit_code": 0}')
    (tmp_path / "test.jsonl").write_text(ROW)
    path = user_profile(tmp_path, test="test.jsonl")
    refused(capsys, "run", "--profile", path, "--reports", tmp_path / "reports", *build(tmp_path))
    assert not (tmp_path / "reports" / "verdict.json").exists()


def test_a_relative_folder_is_seen_from_where_the_caller_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suites run in the checkout, and are told of the same folder."""
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path / 'build'}: no such folder" in refused(capsys, "artefacts", "list", "--build", "build")


@pytest.mark.parametrize("name", ["~nosuchuser/model", "a\\u0000b"])
def test_what_is_no_path_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A user that does not exist, a null byte."""
    path = user_profile(tmp_path, test=name)
    assert "is no path" in refused(capsys, "data", "--profile", path, *build(tmp_path))


@pytest.mark.parametrize("option", ["--profile=nope", "--variant=nope", "--build=README.md"])
def test_the_suites_refuse_what_cannot_be_used_in_one_message(option: str) -> None:
    """Pytest's own usage error, no traceback for each suite, no report."""
    command = [sys.executable, "-m", "pytest", "suites/phase8", "-q", option]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert ran.stderr.count("ERROR: ") == 1
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_artefacts_of_a_folder_that_is_not_there_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    """A misspelt folder has nothing wrong in it."""
    assert f"{tmp_path / 'build'}: no such folder" in refused(capsys, "artefacts", action, *build(tmp_path))


def test_verifying_no_artefact_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was measured, so nothing passes."""
    (tmp_path / "build").mkdir()
    assert "nothing to verify" in refused(capsys, "artefacts", "verify", *build(tmp_path))
    assert main(["artefacts", "list", *build(tmp_path)]) == 0


def test_what_the_system_refuses_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the path and the system's own words."""
    (tmp_path / "file").write_text("")
    message = refused(capsys, "data", "--profile", "pocket", "--build", tmp_path / "file" / "build")
    assert message.startswith(f"error: {tmp_path / 'file' / 'build'}")
    assert message.endswith(": Not a directory\n")
