"""``data --check``: every fault of a chat file is named with its line, and a sound file has none."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from phase8.cases.cases import CASES
from phase8.chat.formats import Call, render_call
from phase8.cli.main import main
from phase8.core.errors import InvalidInput
from phase8.corpus.lint import report as lint_report
from phase8.corpus.lint.check import Options, check
from phase8.corpus.lint.rows import Fault
from phase8.profile.terms import Format
from suites.unit.profiles import READY, write_profile

TOOLS = json.loads((CASES / "tools.json").read_text(encoding="utf-8"))
ALONE = Options(canonical=())


def user(text: str) -> dict[str, Any]:
    """What a user says."""
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    """What the assistant says."""
    return {"role": "assistant", "content": text}


def result(text: str = "a.py:1:x", **more: str) -> dict[str, Any]:
    """What a tool gives back."""
    return {"role": "tool", "content": text, **more}


HERMES = '<tool_call>\n{"name": "read_file", "arguments": {"path": "a.py"}}\n</tool_call>'


def called(style: Format = "fenced", name: str = "read_file", **arguments: Any) -> dict[str, Any]:
    """A call as text; the common format is spelt out, so that nothing is rendered when tests are collected."""
    given = arguments or {"path": "a.py"}
    if style != "fenced":
        return said(render_call(Call(name=name, arguments=given), style))
    return said(f"```json\n{json.dumps({'name': name, 'arguments': given})}\n```")


def structured(arguments: Any, name: str = "read_file", **more: Any) -> dict[str, Any]:
    """A call as ``tool_calls``."""
    call = {"type": "function", "function": {"name": name, "arguments": arguments}, **more}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def row(*messages: Any, tools: Any = TOOLS) -> dict[str, Any]:
    """A conversation."""
    return {"messages": list(messages), "tools": tools}


def tool_row(query: str, style: Format = "fenced") -> dict[str, Any]:
    """A sound row that calls a tool."""
    return row(user(query), called(style), result(), said("It is in a.py."))


def direct_row(query: str) -> dict[str, Any]:
    """A sound row that answers."""
    return row(user(query), said("It is a pattern."))


# Sound on their own and balanced: two calls and an answer.
SOUND = [tool_row("Where is Alpha defined?"), tool_row("Which files import Beta?"), direct_row("What is a mixin?")]


def write(folder: Path, *lines: Any, name: str = "rows.jsonl") -> Path:
    """A file of rows, of text lines, or of bytes."""
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path = folder / name
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


def places(faults: tuple[Fault, ...]) -> list[tuple[int | None, str, str]]:
    """Line, severity and rule of each fault."""
    return [(fault.line, fault.severity, fault.rule) for fault in faults]


def read_file(**parameters: Any) -> list[dict[str, Any]]:
    """The tool with another schema."""
    return [{"type": "function", "function": {"name": "read_file", "parameters": parameters}}]


AWAY = {"$ref": "https://example.org/schema"}
BROKEN: dict[str, tuple[list[Any], list[tuple[int | None, str, str, str]]]] = {
    "unreadable lines": (
        [
            *SOUND,
            '{"messages": [',
            b'{"messages": "\xff"}',
            "",
            "[" * 100_000,
            "[" * 200 + "]" * 200,
            SOUND[0] | {"id": 7},
        ],
        [
            (4, "error", "json", "not JSON: Expecting value"),
            (5, "error", "encoding", "not UTF-8: invalid start byte at byte 15"),
            (6, "warning", "blank line", "mlx-lm's own loader stops here"),
            (7, "error", "json", "not JSON: maximum recursion depth"),
            (8, "error", "json", "nested more than 64 levels deep"),
            (9, "error", "duplicate", "the same conversation as line 1"),
        ],
    ),
    "a byte order mark": (
        [b"\xef\xbb\xbf" + json.dumps(SOUND[0]).encode(), *SOUND[1:]],
        [(1, "error", "encoding", "a byte order mark")],
    ),
    "schema": (
        [
            *SOUND,
            [],
            {"prompt": "Hi", "completion": "Hello"},
            {"messages": []},
            row("Hello", {"role": "bot", "content": 7}),
            row(user("Hi"), {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}),
            row({"role": "user", "content": "Hi", "tool_calls": [{}]}, said("Hello")),
        ],
        [
            (4, "error", "schema", 'a row is an object with "messages"; found an empty list'),
            (5, "error", "schema", "found the keys prompt, completion"),
            (6, "error", "schema", 'a non-empty list "messages"; found an empty list'),
            (7, "error", "schema", "messages[0] is text; expected an object"),
            (7, "error", "schema", "messages[1].role is 'bot'; allowed: system, user, assistant, tool"),
            (7, "error", "schema", "messages[1].content is a number; expected text"),
            (8, "error", "schema", "messages[1].content is a list; expected text"),
            (9, "error", "schema", "messages[0].tool_calls: a list of 'user'"),
        ],
    ),
    "empty turns": (
        [*SOUND, row(user(" "), said("Hello")), row(user("Where is Gamma?"), called(), result(""), said("\n"))],
        [
            (4, "error", "empty turn", "messages[0]: the user says nothing"),
            (5, "warning", "empty turn", "messages[2]: the tool says nothing"),
            (5, "error", "empty turn", "messages[3]: the assistant says nothing"),
        ],
    ),
    "roles out of order": (
        [
            *SOUND,
            row(said("Hello"), user("Hi"), said("Yes?")),
            row(user("Where is"), user("Gamma?"), called(), result(), said("In a.py.")),
            row(user("Where is Delta?"), said("In a.py."), result()),
            row(user("Thanks"), said("Gladly."), user("Bye")),
            row(user("One"), {"role": "system", "content": "Be brief."}, said("Two")),
            row(user("Alone")),
            row(user("Where is Eta?"), called(), result(), result(), said("In a.py.")),
        ],
        [
            (4, "error", "roles", "messages[0]: the assistant speaks before the user"),
            (5, "warning", "roles", "messages[1]: two turns of the user in a row"),
            (6, "error", "roles", "the conversation ends with the tool"),
            (6, "error", "roles", "messages[2]: a tool result without a preceding call"),
            (7, "error", "roles", "the conversation ends with the user"),
            (8, "error", "roles", "messages[1]: a system message stands after another message"),
            (9, "error", "roles", "no turn of the assistant; found user"),
            (10, "error", "roles", "messages[3]: a tool result without a preceding call"),
            (None, "warning", "balance", "44.4% of 9 rows call a tool"),
        ],
    ),
    "fenced calls": (
        [
            *SOUND,
            row(user("Read b"), said('```json\n{"name": "read_file"\n```'), result(), said("Done.")),
            row(user("Read c"), said('{"name": "read_file", "arguments": {"path": "c"}}'), result(), said("Done.")),
            row(user("Read d"), called(lines=3), result(), said("Done.")),
            row(user("Drop e"), called(name="drop", path="e"), result(), said("Done.")),
            row(user("Read f"), said("```json\n[]\n```\nand\n" + called(path=7)["content"]), result(), said("Done.")),
            row(user("What is g?"), said("A letter.")),
            row(user("What is h?"), said("A letter.")),
        ],
        [
            (4, "error", "call", "messages[1]: bad JSON"),
            (5, "error", "call", "looks like a call outside ```json"),
            (6, "error", "arguments", "messages[1]: bad arguments"),
            (7, "error", "unknown tool", "messages[1]: unknown tool: 'drop'; known: run_command, read_file"),
            (8, "error", "call", "messages[1]: bad JSON"),
            (8, "error", "arguments", "messages[1]: bad arguments: 7 is not of type 'string'"),
        ],
    ),
    "structured calls": (
        [
            row(user("Read a"), structured({"path": "a"}, id="one"), result(tool_call_id="one"), said("Done.")),
            row(user("Read b"), structured('{"path": "b"}'), result(), said("Done.")),
            row(user("Read c"), structured("{"), result(), said("Done.")),
            row(user("Read d"), structured([]), result(), said("Done.")),
            row(user("Read e"), structured({"path": "e", "start": 0, "depth": 1}), result(), said("Done.")),
            row(user("Drop f"), structured({}, name="drop"), result(), said("Done.")),
            row(user("Read g"), {"role": "assistant", "tool_calls": ["read"]}, result(), said("Done.")),
            row(user("Read h"), structured({"path": "h"}, id="two"), result(tool_call_id="three"), said("Done.")),
            row(user("Read i"), said(HERMES), result(), said("Done.")),
            row(user("Show JSON"), said('```json\n{"a": 1}\n```')),
            row(user("What is j?"), said("A letter.")),
        ],
        [
            (3, "error", "call", "messages[1].tool_calls[0]: function.arguments is not JSON"),
            (4, "error", "call", "messages[1].tool_calls[0]: function.arguments is '[]'; expected an object"),
            (5, "error", "arguments", "tool_calls[0]: Additional properties are not allowed ('depth' was unexpected)"),
            (5, "error", "arguments", "tool_calls[0]: 0 is less than the minimum of 1"),
            (6, "error", "unknown tool", "tool_calls[0]: 'drop'; known: run_command, read_file, list_directory"),
            (7, "error", "call", 'tool_calls[0]: expected {"function": {"name": "...", "arguments": {...}}}'),
            (8, "error", "roles", "messages[2]: a result of the call 'three'; made were two"),
            (9, "error", "call", "messages[1]: a call as text (hermes), where other rows have tool_calls"),
        ],
    ),
    "tool schemas": (
        [
            *SOUND,
            row(user("Read b"), called(), result(), said("Done."), tools="read_file"),
            row(user("What is b?"), said("A letter."), tools=[{"name": "read_file"}]),
            row(user("Read c"), called(), result(), said("Done."), tools=read_file(**AWAY)),
            row(user("What is c?"), said("A letter."), tools=read_file(type="text")),
            row(
                user("Read d"),
                called(),
                result(),
                said("Done."),
                tools=read_file(properties={"path": {"$ref": "#/no"}}),
            ),
            row(
                user("Read e"),
                structured({"path": "e"}),
                result(),
                said("Done."),
                tools=read_file(properties={"path": {"pattern": "("}}),
            ),
        ],
        [
            (4, "error", "tools", 'tools is "read_file"; expected a list of function schemas'),
            (5, "error", "tools", "tools[0]: expected"),
            (6, "error", "tools", "of read_file): it refers to 'https://example.org/schema', which is not in it"),
            (7, "error", "tools", "of read_file): expected a JSON schema of an object"),
            (8, "error", "tools", "of read_file): it refers to '#/no', which is not in it"),
            (9, "error", "tools", "no JSON schema: $.properties.path.pattern: '(' is not a 'regex'"),
            (9, "warning", "call", "structured tool_calls, where most rows write calls as fenced text"),
        ],
    ),
    "rows that contradict or repeat": (
        [*SOUND, SOUND[1], direct_row("  where is ALPHA defined"), tool_row("Where is Gamma?")],
        [
            (4, "error", "duplicate", "the same conversation as line 2"),
            (5, "error", "labels", "answers directly, but line 1 calls a tool for the same query: where is ALPHA"),
        ],
    ),
    "characters nobody sees, and balance": (
        [
            row(user("What\u200b is\u200b \u0007a?"), said("A letter.")),
            row(user("What is \ud800?"), said("A\u00ad letter.")),
        ],
        [
            (1, "warning", "characters", "messages[0] holds characters that cannot be seen: U+200B (2 times), U+0007"),
            (2, "error", "characters", "messages[0] holds characters that cannot be seen: U+D800"),
            (2, "warning", "characters", "messages[1] holds characters that cannot be seen: U+00AD"),
            (None, "warning", "balance", "0.0% of 2 rows call a tool; 50% to 85% is usual"),
        ],
    ),
    "no rows": (
        ["", " "],
        [(1, "warning", "blank line", ""), (2, "warning", "blank line", ""), (None, "error", "schema", "no rows")],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_fault_of_a_broken_file_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """All of them, nothing else, and the exit code says that there are errors."""
    lines, expected = BROKEN[name]
    path = write(tmp_path, *lines)
    found = check(path, ALONE).faults
    assert sorted(places(found), key=str) == sorted([wanted[:3] for wanted in expected], key=str)
    for line, _, rule, text in expected:
        assert any(fault.line == line and fault.rule == rule and text in fault.text for fault in found), text
    assert main(["data", "--check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert all(f" {line or 'file'} " in printed for line, *_ in expected)


def test_a_sound_file_has_no_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what could not be looked at."""
    path = write(tmp_path, *SOUND)
    assert main(["data", "--check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "0 errors and 0 warnings in 3 rows"
    assert "calls: fenced, found in 2 rows" in printed
    assert "balance: 66.7% of 3 rows call a tool first" in printed
    assert "token lengths: not applicable, give --model" in printed
    assert "near-duplicates of a test file: not applicable, give --against" in printed


def test_warnings_alone_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They may be meant."""
    assert main(["data", "--check", str(write(tmp_path, direct_row("What is a mixin?")))]) == 0
    assert "0 errors and 1 warning in 1 row\n" in capsys.readouterr().out


@pytest.mark.parametrize("style", ["hermes", "qwen3-coder"])
def test_the_format_that_most_rows_parse_in_is_found_out(tmp_path: Path, style: Format) -> None:
    """A row in another one is a fault."""
    rows = [tool_row("Where is Alpha?", style), tool_row("Where is Beta?", style), tool_row("Where is Gamma?")]
    checked = check(write(tmp_path, *rows, direct_row("What is a mixin?")), ALONE)
    assert checked.notes[0] == f"calls: {style}, found in 2 rows"
    assert places(checked.faults) == [(3, "error", "call")]


def test_structured_calls_among_calls_as_text_are_a_warning(tmp_path: Path) -> None:
    """The chat template may write both alike."""
    mixed = row(user("Read c"), structured({"path": "c"}), result(), said("Done."))
    assert places(check(write(tmp_path, *SOUND, mixed), ALONE).faults) == [(4, "warning", "call")]


def test_a_given_format_is_held_against_every_row(tmp_path: Path) -> None:
    """Although all rows agree on another one."""
    checked = check(write(tmp_path, *SOUND), ALONE._replace(style="hermes"))
    assert places(checked.faults) == [(1, "error", "call"), (2, "error", "call")]


def test_rows_without_tools_are_checked_for_their_form_only(tmp_path: Path) -> None:
    """What nobody described cannot be unknown; a profile describes it."""
    broken = row(user("Read b"), said("```json\n{\n```"), result(), said("Done."), tools=None)
    unknown = row(user("Drop c"), called(name="drop"), result(), said("Done."), tools=None)
    path = write(tmp_path, *SOUND, broken, unknown)
    checked = check(path, ALONE)
    assert places(checked.faults) == [(4, "error", "call")]
    assert "2 rows have no readable tools to check calls against, give --profile" in checked.notes[0]
    described = check(path, ALONE._replace(tools=TOOLS))
    assert places(described.faults) == [(4, "error", "call"), (5, "error", "unknown tool")]


def test_the_same_query_under_other_tools_may_be_answered_otherwise(tmp_path: Path) -> None:
    """Whether to call depends on what can be called."""
    other = row(user("Where is Alpha defined?"), said("I cannot look."), tools=[])
    assert not check(write(tmp_path, *SOUND, other), ALONE).errors


def test_user_turns_near_a_test_file_are_named_with_both_lines(tmp_path: Path) -> None:
    """A blank line counts there too."""
    test = write(tmp_path, SOUND[2], "", tool_row("Which files import the Beta class?"), name="test.jsonl")
    train = write(tmp_path, SOUND[0], tool_row("which files  import the Beta class"))
    found = check(train, ALONE._replace(against=test)).faults
    near = [fault for fault in found if fault.rule == "near-duplicate"]
    assert [(fault.line, fault.severity) for fault in near] == [(2, "error")]
    assert (
        "is like line 3 of test.jsonl: 'Which files import the Beta class?' (similarity 1.00, limit 0.8)"
        in near[0].text
    )


@pytest.mark.parametrize(("theirs", "ours"), [("What is a closure?", "What is a closure"), ("Hi?", " hi !")])
def test_a_query_of_a_test_file_is_named_whatever_its_final_mark(
    theirs: str, ours: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one so short that a mark is a third of it."""
    test = write(tmp_path, row(user(theirs), said("A function.")), name="test.jsonl")
    path = write(tmp_path, *SOUND, row(user(ours), said("Something else.")))
    assert main(["data", "--check", str(path), "--against", str(test)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert f"is like line 1 of test.jsonl: {theirs!r} (similarity 1.00, limit 0.8)" in told


def test_a_conversation_is_the_same_one_with_another_final_mark(tmp_path: Path) -> None:
    """Of the user; another answer is another conversation."""
    first, second, other = (
        row(user(query), said(answer))
        for query, answer in (("What is a closure", "A."), (" what is a closure?", "A."), ("What is a closure", "B."))
    )
    found = check(write(tmp_path, *SOUND, first, second, other), ALONE).faults
    assert [(fault.line, fault.rule, fault.text) for fault in found if fault.severity == "error"] == [
        (len(SOUND) + 2, "duplicate", f"the same conversation as line {len(SOUND) + 1}")
    ]


def test_a_contradiction_is_found_whatever_the_final_mark(tmp_path: Path) -> None:
    """One row calls, the other answers."""
    path = write(tmp_path, *SOUND, tool_row("Where is Gamma"), row(user('"Where is Gamma?!"'), said("In c.py.")))
    found = check(path, ALONE).faults
    assert [(fault.line, fault.rule) for fault in found if fault.severity == "error"] == [(len(SOUND) + 2, "labels")]


def test_user_turns_near_a_canonical_query_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are what variants are judged on."""
    path = write(tmp_path, *SOUND, tool_row("Find all the Django view functions!"))
    assert main(["data", "--check", str(path)]) == 1
    assert "is like a canonical query: 'Find all Django view functions'" in " ".join(capsys.readouterr().out.split())


def test_a_profile_brings_its_format_and_its_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ones that judging would use."""
    profile = write_profile(tmp_path, ('"fenced"', '"hermes"'), text=READY)
    rows = [tool_row("Where is Alpha?", "hermes"), tool_row("Where is Beta?", "hermes"), direct_row("What is a mixin?")]
    path = write(tmp_path, *({"messages": row["messages"]} for row in rows))
    assert main(["data", "--check", str(path), "--profile", str(profile)]) == 0
    printed = capsys.readouterr().out
    assert "calls: hermes, given\n" in printed
    assert main(["data", "--check", str(path), "--profile", str(profile), "--format", "fenced"]) == 1


def test_at_most_so_many_faults_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The count says how many there are."""
    path = write(tmp_path, *["{"] * (lint_report.SHOWN + 5))
    assert main(["data", "--check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("not JSON") == lint_report.SHOWN
    assert "\n... and 5 more\n" in printed
    assert printed.splitlines()[-1] == "205 errors and 0 warnings in 205 rows"


def test_hostile_text_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    """Neither escapes nor rich's own markup."""
    checked = check(write(tmp_path, row({"role": "\x1b[2J[red]x[/nope]", "content": "x"})), ALONE)
    console = Console(width=150, record=True, file=StringIO(), force_terminal=True)
    lint_report.show(checked, console)
    text = console.export_text()
    assert "[red]x[/nope]" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "none.jsonl"], "none.jsonl: no such file"),
        (["--check", "rows.jsonl", "--against", "none.jsonl"], "none.jsonl: no such file"),
        (["--check", "rows.jsonl", "--against", "rows.jsonl"], "--against is rows.jsonl itself"),
        (["--check", "rows.jsonl", "--against", "bad.jsonl"], "bad.jsonl:1: not JSON"),
        (["--check", "rows.jsonl", "--model", "none"], "none: no such folder"),
        (["--check", "rows.jsonl", "--model", "."], "no tokenizer.json"),
        (["--check", "rows.jsonl", "--max-tokens", "0"], "--max-tokens is 0; at least 1 is allowed"),
        (["--max-tokens", "9"], "--max-tokens needs --check FILE"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """With exit code 2, not 1."""
    write(tmp_path, *SOUND)
    write(tmp_path, "{", name="bad.jsonl")
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(InvalidInput, match="no such file"):
        check(tmp_path, ALONE)


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ m.content }} {% endfor %}"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder whose tokenizer makes a token of each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder = tmp_path / "model"
    folder.mkdir()
    words.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE, "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 9}', encoding="utf-8")
    return folder


@pytest.mark.parametrize(("given", "limit", "long"), [(None, 9, [(2, 10)]), (8, 8, [(1, 9), (2, 10)]), (10, 10, [])])
def test_rows_longer_than_the_models_limit_are_errors(
    tmp_path: Path, model: Path, given: int | None, limit: int, long: list[tuple[int, int]]
) -> None:
    """As the model's own tokenizer counts; the longest row that fits is no fault."""
    rows = [
        row(user("one two three four"), said("five six seven eight nine")),
        row(user("1 2 3 4 5"), said("6 7 8 9 10")),
    ]
    checked = check(write(tmp_path, *rows), ALONE._replace(model=model, max_tokens=given))
    found = [(fault.line, fault.text) for fault in checked.faults if fault.rule == "length"]
    assert found == [(line, f"{tokens} tokens; the limit is {limit}") for line, tokens in long]
    assert checked.notes[-1] == f"token lengths: the longest row has 10 (line 2); limit {limit}"


def test_rows_that_the_chat_template_refuses_are_errors(tmp_path: Path, model: Path) -> None:
    """mlx-lm would stop at them."""
    checked = check(write(tmp_path, *SOUND), ALONE._replace(model=model))
    refused = [(fault.line, fault.text) for fault in checked.faults if fault.rule == "template"]
    assert refused == [(line, "the model's chat template refuses it: no tools here") for line in (1, 2)]
