"""The tokenizer that the harness trains: the marks around a call are tokens, and text comes back as it was."""

import json
from pathlib import Path

import pytest

from phase8.chat.formats import Call, render_call
from phase8.corpus.stage import call_marks
from phase8.profile.terms import Format
from suites.unit.examples import direct, tool

TEXTS = ["Where is Amber defined?", "grep -rn 'class Amber' .", "A class for trees.", "It is in trees.py."] * 20


def pool(folder: Path) -> Path:
    """Three queries with a call, and one without."""
    examples = [
        *(tool(f"Where is {name}?", name, "where") for name in ("Amber", "Birch", "Cedar")),
        direct("Why?", "x"),
    ]
    lines = "".join(example.model_dump_json() + "\n" for example in examples)
    (folder / "pool.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.mark.parametrize("style", ["fenced", "hermes", "qwen3-coder"])
def test_the_marks_around_a_call_are_one_token_each(style: Format, tmp_path: Path) -> None:
    """A call is its argument between two of them, in every format, and decodes to what was written."""
    from phase8.engine.load.tokenizer import read_tokenizer
    from phase8.engine.train.pocket import train_tokenizer

    marks = call_marks(pool(tmp_path), style)
    train_tokenizer(TEXTS, 320, tmp_path, marks)
    tokenizer = read_tokenizer(tmp_path)
    written = render_call(Call(name="run_command", arguments={"command": "grep -rn 'class Amber' ."}), style)
    ids = tokenizer.encode(written, add_special_tokens=False)
    assert [tokenizer.decode([ids[0]]), tokenizer.decode([ids[-1]])] == list(marks)
    assert tokenizer.decode(ids) == written
    assert tokenizer.decode(ids, skip_special_tokens=True) == written


def test_a_tokenizer_has_no_more_tokens_than_the_model_has_rows(tmp_path: Path) -> None:
    """The marks are among the vocabulary, not beyond it."""
    from phase8.engine.train.pocket import train_tokenizer

    train_tokenizer(TEXTS, 320, tmp_path, call_marks(pool(tmp_path), "fenced"))
    stored = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    ids = [*stored["model"]["vocab"].values(), *(token["id"] for token in stored["added_tokens"])]
    assert max(ids) < 320
    assert len({token["content"] for token in stored["added_tokens"]}) == 5
