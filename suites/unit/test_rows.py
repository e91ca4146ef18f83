"""Chat JSONL: every fault is named by its line."""

import json
from pathlib import Path

import pytest

from phase8.chat.jsonl import read_rows
from phase8.core.errors import InvalidInput

GOOD = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}'


def write(folder: Path, *lines: str | bytes) -> Path:
    """A file of lines."""
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return path


def messages(*turns: dict) -> str:
    """A line with these messages."""
    return json.dumps({"messages": list(turns)})


def called(**function: object) -> str:
    """A line whose assistant calls this function."""
    return messages(USER, {"role": "assistant", "content": None, "tool_calls": [{"function": function}]})


def told(*tools: object) -> str:
    """A line that tells of these tools."""
    return json.dumps({"messages": [USER, ANSWER], "tools": list(tools)})


def tool(name: str = "look", **schema: object) -> dict:
    """A function schema."""
    return {"type": "function", "function": {"name": name, "parameters": schema}}


USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


MALFORMED: list[tuple[str | bytes, str]] = [
    ("{", "not JSON"),
    (b'{"messages": "\xff"}', "not JSON.*utf-8"),
    ("[" * 100_000, "not JSON"),
    ("[]", 'expected an object with a non-empty list "messages"'),
    ("{}", 'expected an object with a non-empty list "messages"'),
    ('{"messages": []}', 'expected an object with a non-empty list "messages"'),
    ('{"prompt": "Hi", "completion": "Hello"}', 'expected an object with a non-empty list "messages"'),
    (messages(USER, "Hello"), r"messages\[1\].role is 'Hello'"),  # ty: ignore[invalid-argument-type]
    (messages(USER, {"role": "bot", "content": "x"}), r"messages\[1\].role is 'bot'; allowed: system, user"),
    (messages(USER, {"content": "x"}), r"messages\[1\].role is None"),
    (messages(USER, {"role": "assistant"}), r"messages\[1\] has neither text"),
    (messages(USER, {"role": "assistant", "content": ["x"]}), r"messages\[1\] has neither text"),
    (messages({"role": "user", "content": None}, ANSWER), r"messages\[0\] has neither text"),
    (
        messages({**USER, "tool_calls": [{}]}, ANSWER),
        r"messages\[0\].tool_calls: .*of an assistant; found list of 'user'",
    ),
    (
        messages(USER, {"role": "assistant", "tool_calls": {"function": {"name": "x"}}}),
        r"expected a list, .*found dict",
    ),
    (messages(USER, {"role": "assistant", "tool_calls": ["x"]}), r"messages\[1\].tool_calls\[0\]: expected {"),
    (called(arguments={}), r"messages\[1\].tool_calls\[0\]: expected {"),
    (called(name="", arguments={}), r"tool_calls\[0\]: expected {"),
    (called(name="look", arguments="{path"), r"tool_calls\[0\]: function.arguments is not JSON"),
    (called(name="look", arguments='{"a": 1, "a": 2}'), r"function.arguments is not JSON: key 'a' is given twice"),
    (called(name="look", arguments="[1]"), r"function.arguments is '\[1\]'; expected an object"),
    (called(name="look", arguments=None), r"function.arguments is 'None'; expected an object"),
    (GOOD[:-1] + ', "messages": []}', "not JSON: key 'messages' is given twice"),
    (GOOD[:-1] + ', "tools": {}}', "expected a list of function schemas"),
    (told("look"), r"tools\[0\]: expected {"),
    (told(tool(), {"function": {}}), r"tools\[1\]: expected {"),
    (told(tool(), tool()), "tools: look is there twice"),
    (told(tool(type="string")), r"tools\[0\].function.parameters \(of look\): expected a JSON schema of an object"),
    (told(tool(properties={"a": {"type": "text"}})), r"no JSON schema: \$.properties.a.type: 'text' is not valid"),
    (told(tool(properties={"a": {"pattern": "("}})), r"no JSON schema: \$.properties.a.pattern"),
    (told(tool(properties={"a": {"$ref": "#/$defs/b"}})), r"refers to '#/\$defs/b', which is not in it"),
    (
        told(tool(properties={"a": {"$ref": "http://localhost:9/x"}})),
        "refers to 'http://localhost:9/x', which is not",
    ),
    (messages(USER), "needs a user's and an assistant's turn; found user"),
    (messages(ANSWER, USER), "the assistant speaks before the user"),
]


def test_a_malformed_line_is_refused_with_its_number_and_fault(subtests: pytest.Subtests, tmp_path: Path) -> None:
    """Blank lines count, so that an editor finds the line."""
    for line, fault in MALFORMED:
        with subtests.test(line=line, fault=fault):
            path = write(tmp_path, GOOD, "", line)
            with pytest.raises(InvalidInput, match=fault) as caught:
                read_rows(path)
            assert str(caught.value).startswith(f"{path}:3: ")


def test_an_assistants_calls_need_no_text(tmp_path: Path) -> None:
    """As OpenAI's format has it."""
    line = messages(USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "x"}}]})
    assert len(read_rows(write(tmp_path, line))) == 1


@pytest.mark.parametrize("arguments", [{}, {"path": "a"}, "{}", '{"path": "a"}'])
def test_arguments_are_an_object_or_its_json_text(tmp_path: Path, arguments: object) -> None:
    """Templates want the one, OpenAI writes the other."""
    assert len(read_rows(write(tmp_path, called(name="look", arguments=arguments)))) == 1


def test_tools_may_be_null_without_parameters_or_refer_to_their_own_definitions(tmp_path: Path) -> None:
    """As files from elsewhere have them."""
    own = tool(**{"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}})
    bare = {"function": {"name": "now"}}
    lines = (GOOD[:-1] + ', "tools": null}', told(), told(bare), told(own, bare))
    assert len(read_rows(write(tmp_path, *lines))) == 4


def test_separators_inside_text_do_not_end_a_line(tmp_path: Path) -> None:
    """JSON may hold U+2028 and its like as they are."""
    text = "one\u2028two\u0085three"
    line = json.dumps({"messages": [USER, {"role": "assistant", "content": text}]}, ensure_ascii=False)
    assert read_rows(write(tmp_path, line))[0]["messages"][1]["content"] == text


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    """Files come from everywhere."""
    assert len(read_rows(write(tmp_path, GOOD + "\r", GOOD + "\r"))) == 2


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_file_without_rows_is_refused(tmp_path: Path, lines: list[str]) -> None:
    """Nothing to judge would be nothing to fail."""
    with pytest.raises(InvalidInput, match="no rows"):
        read_rows(write(tmp_path, *lines))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(InvalidInput, match="rows.jsonl: no such file"):
        read_rows(tmp_path / "rows.jsonl")
