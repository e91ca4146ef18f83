"""Tool calls as text: written, read back, and refused by name."""

from typing import get_args

import pytest

from harness.errors import InvalidInput
from harness.formats import Call, Failure, Tools, opening, parse_reply, render_call
from harness.profile import Format

FORMATS: tuple[Format, ...] = get_args(Format)
TOOLS: Tools = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "line": {"type": "integer"}, "deep": {"type": "boolean"}},
                "required": ["path"],
                "additionalProperties": False,
            },
        },
    }
]
GOOD = '{"name": "look", "arguments": {"path": "a.py"}}'
VALUES = [
    "a.py",
    "",
    " two  spaces ",
    "line\nline",
    "\nends\n",
    'quote " and \\',
    "```",
    "ünï ✓",
    "<b>",
    "{}",
    "\u2028",
]


def call(**arguments: object) -> Call:
    """A call of the only tool."""
    return Call(name="look", arguments=arguments)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("value", VALUES)
def test_a_rendered_call_is_read_back_as_it_was(style: Format, value: str) -> None:
    """White space, quotes, fences and other scripts survive."""
    given = call(path=value, line=3, deep=True)
    assert parse_reply(render_call(given, style), style, TOOLS).calls == (given,)


@pytest.mark.parametrize("style", FORMATS)
def test_a_call_starts_with_the_opening_of_its_format(style: Format) -> None:
    """Decision margins are taken at this string."""
    assert render_call(call(path="x"), style).startswith(opening(style))


@pytest.mark.parametrize("style", FORMATS)
def test_two_calls_in_prose_are_both_read(style: Format) -> None:
    """In their order; the text around them does not matter."""
    text = f"First.\n{render_call(call(path='a'), style)}\nThen.\n{render_call(call(path='b'), style)}\nDone."
    assert [found.arguments["path"] for found in parse_reply(text, style, TOOLS).calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("style", "value"),
    [
        ("hermes", "x </tool_call> y"),
        ("qwen3-coder", "x </tool_call> y"),
        ("qwen3-coder", "x </parameter> y"),
        ("qwen3-coder", "NULL"),
    ],
)
def test_a_value_that_a_format_cannot_carry_is_refused(style: Format, value: str) -> None:
    """It would be read back as something else."""
    with pytest.raises(InvalidInput, match="cannot carry it"):
        render_call(call(path=value), style)


@pytest.mark.parametrize(
    ("style", "text", "failure"),
    [
        ("fenced", "```json\n{name: look}\n```", "bad JSON"),
        ("fenced", '```json\n{"name": "look"}\n```', "bad JSON"),
        ("fenced", '```json\n["look"]\n```', "bad JSON"),
        ("fenced", '```json\n{"name": "look", "arguments": "a.py"}\n```', "bad JSON"),
        ("fenced", f"```json\n{GOOD}\n", "bad JSON"),
        ("fenced", "```json\n" + "[" * 100_000 + "\n```", "bad JSON"),
        ("hermes", "<tool_call>\n{look}\n</tool_call>", "bad JSON"),
        ("qwen3-coder", f"<tool_call>\n{GOOD}\n</tool_call>", "bad JSON"),
        ("qwen3-coder", "<tool_call>\n<function=look>\n</tool_call>", "bad JSON"),
        (
            "qwen3-coder",
            "<tool_call><function=look><parameter=path>a</parameter></function><function=b></function></tool_call>",
            "bad JSON",
        ),
        (
            "qwen3-coder",
            "<tool_call><function=look><parameter=path>a</parameter>"
            "<parameter=line>1e999</parameter></function></tool_call>",
            "bad arguments",
        ),
        ("fenced", GOOD, "wrong wrapper"),
        ("fenced", f"Sure: {GOOD}", "wrong wrapper"),
        ("fenced", f"[{GOOD}]", "wrong wrapper"),
        ("fenced", f"```json {GOOD}```", "wrong wrapper"),
        ("fenced", f"```\n{GOOD}\n```", "wrong wrapper"),
        ("fenced", '{"arguments": {"path": "a.py"}, "name": "look"}', "wrong wrapper"),
        ("fenced", f"<tool_call>\n{GOOD}\n</tool_call>", "wrong wrapper"),
        ("hermes", f"```json\n{GOOD}\n```", "wrong wrapper"),
        ("qwen3-coder", "<function=look>\n</function>", "wrong wrapper"),
        ("fenced", '```json\n{"name": "peek", "arguments": {}}\n```', "unknown tool"),
        ("fenced", '```json\n{"name": "look", "arguments": {}}\n```', "bad arguments"),
        ("fenced", '```json\n{"name": "look", "arguments": {"path": 1}}\n```', "bad arguments"),
        ("fenced", '```json\n{"name": "look", "arguments": {"path": "a", "file": "b"}}\n```', "bad arguments"),
        ("qwen3-coder", "<tool_call>\n<function=look>\n</function>\n</tool_call>", "bad arguments"),
    ],
)
def test_a_reply_that_looks_like_a_call_and_is_none_has_its_failure_named(
    style: Format, text: str, failure: Failure
) -> None:
    """It is malformed, never a direct answer."""
    found = parse_reply(text, style, TOOLS)
    assert (found.failure, found.decision) == (failure, "malformed"), found.detail


@pytest.mark.parametrize("style", FORMATS)
def test_an_open_block_at_the_token_limit_is_truncated(style: Format) -> None:
    """A reply that stopped by itself has no such excuse."""
    text = render_call(call(path="x"), style)[:-3]
    assert parse_reply(text, style, TOOLS, finished=False).failure == "truncated"
    assert parse_reply(text, style, TOOLS, finished=True).failure == "bad JSON"


def test_one_bad_call_spoils_a_good_one() -> None:
    """Nothing could execute the reply as a whole."""
    found = parse_reply(f"```json\n{GOOD}\n```\n```json\n{{}}\n```", "fenced", TOOLS)
    assert found.decision == "malformed"
    assert not found.calls


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "It hands an object what it needs.",
        '```python\nreturn JsonResponse({"name": user.name})\n```',
        "```python\ndef view(request): ...\n```",
        'Set "arguments" in the form, and a "name".',
        "Use {name} in the template.",
    ],
)
def test_prose_and_code_are_an_answer(style: Format, text: str) -> None:
    """Code for the reader is no call."""
    assert parse_reply(text, style, TOOLS).decision == "answer"


def test_normalised_calls_ignore_key_order_and_white_space() -> None:
    """Two calls that do the same are the same in a snapshot."""
    one, other = call(path="a  b\n", line=1), call(line=1, path="a b")
    assert one.normalised().model_dump_json() == other.normalised().model_dump_json()
