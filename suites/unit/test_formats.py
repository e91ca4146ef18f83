"""Tool calls as text: written, read back, and refused by name."""

import random
import time
from typing import Any, get_args

import pytest

from phase8.chat.formats import Call, Failure, Tools, describe_tools, opening, parse_reply, render_call
from phase8.chat.parsing import same_calls
from phase8.core.errors import InvalidInput
from phase8.profile.terms import Format

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


def test_a_rendered_call_is_read_back_as_it_was(subtests: pytest.Subtests) -> None:
    """White space, quotes, fences and other scripts survive."""
    for style in FORMATS:
        for value in VALUES:
            with subtests.test(value=value, style=style):
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


def test_a_value_that_a_format_cannot_carry_is_refused(subtests: pytest.Subtests) -> None:
    """It would be read back as something else."""
    cases: list[tuple[Format, str]] = [
        ("hermes", "x </tool_call> y"),
        ("qwen3-coder", "x </tool_call> y"),
        ("qwen3-coder", "x </parameter> y"),
        ("qwen3-coder", "NULL"),
    ]
    for style, value in cases:
        with subtests.test(style=style, value=value), pytest.raises(InvalidInput, match="cannot carry it"):
            render_call(call(path=value), style)


NO_CALLS: list[tuple[Format, str, Failure]] = [
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
    ("fenced", '```json\n{"name": "look", "name": "look", "arguments": {"path": "a"}}\n```', "bad JSON"),
    ("hermes", '<tool_call>{"name": "look", "arguments": {"path": "a", "path": "b"}}</tool_call>', "bad JSON"),
    ("hermes", '<tool_call>{"name": "look", "arguments": {"path": "\\ud800"}}</tool_call>', "bad JSON"),
    ("hermes", '<tool_call>{"name": "look", "arguments": {"path": "a", "line": NaN}}</tool_call>', "bad JSON"),
    ("hermes", '<tool_call>{"name": "look", "arguments": {"path": "a", "line": 1e999}}</tool_call>', "bad JSON"),
    ("hermes", '<tool_call>{"name": ["look"], "arguments": {"path": "a"}}</tool_call>', "bad JSON"),
    (
        "qwen3-coder",
        "<tool_call><function=look><parameter=path>a</parameter><parameter=path>b</parameter></function></tool_call>",
        "bad JSON",
    ),
    (
        "qwen3-coder",
        "<tool_call><function=look><parameter=path>a</parameter><parameter=line>1</function></tool_call>",
        "bad JSON",
    ),
    ("qwen3-coder", "<tool_call>Well <function=look></function></tool_call>", "bad JSON"),
    (
        "qwen3-coder",
        "<tool_call><function=look><parameter=path>a</parameter><parameter=line>one</parameter></function></tool_call>",
        "bad arguments",
    ),
    ("fenced", f"```json\n{GOOD}\n```\n<tool_call>{GOOD}</tool_call>", "wrong wrapper"),
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
]


def test_a_reply_that_looks_like_a_call_and_is_none_has_its_failure_named(subtests: pytest.Subtests) -> None:
    """It is malformed, never a direct answer."""
    for style, text, failure in NO_CALLS:
        with subtests.test(style=style, text=text, failure=failure):
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


PROSE = [
    "It hands an object what it needs.",
    '```python\nreturn JsonResponse({"name": user.name})\n```',
    "```python\ndef view(request): ...\n```",
    'Set "arguments" in the form, and a "name".',
    "Use {name} in the template.",
]


def test_prose_and_code_are_an_answer(subtests: pytest.Subtests) -> None:
    """Code for the reader is no call."""
    for style in FORMATS:
        for text in PROSE:
            with subtests.test(text=text, style=style):
                assert parse_reply(text, style, TOOLS).decision == "answer"


PIECES = [
    *"ab 01.-+\\\"'\n\t\r<>{}[]/=,:`",
    *("null", "NULL", "None", "true", "False", "```", "```json\n", "\n```\n", "<tool_call>", "</tool_call>"),
    *("<parameter=path>", "</parameter>", "<function=look>", "</function>", "<|im_end|>", '{"name": "look"'),
    *("ü", "漢", "\u2028", "\x00", "\u202e", "😀", "\ud83d", "1e999", "NaN"),
]
ANYTHING: dict[str, dict] = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "real": {"type": "number"},
    "switch": {"type": "boolean"},
    "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "either": {"type": ["string", "null"]},
    "list": {"type": "array"},
    "object": {"type": "object"},
    "free": {"description": "Anything."},
}
WIDE: Tools = [{"type": "function", "function": {"name": "wide", "parameters": {"properties": ANYTHING}}}]


def some_value(dice: random.Random, depth: int = 0) -> Any:
    """A JSON value, now and then one that is hard to carry."""
    kind = dice.randrange(6 if depth > 2 else 8)
    if kind < 2:
        return "".join(dice.choices(PIECES, k=dice.randrange(5)))
    if kind < 6:
        whole = dice.choice([0, -1, 7, 2**53 + 1, -(10**30)])
        return [None, dice.random() < 0.5, whole, dice.choice([0.0, -0.0, 1.0, 1e-300, 0.1, float("inf")])][kind - 2]
    values = [some_value(dice, depth + 1) for _ in range(dice.randrange(3))]
    return values if kind == 6 else {dice.choice(["a", "ü", '"', "name", "null"]): value for value in values}


def test_a_call_is_read_back_to_the_letter_or_is_refused(subtests: pytest.Subtests) -> None:
    """Random arguments of every type; each format carries most of them."""
    for style in FORMATS:
        for tools in [None, WIDE]:
            with subtests.test(tools=tools, style=style):
                dice, carried, refused = random.Random(8), 0, 0
                for _ in range(300):
                    keys = dice.sample(list(ANYTHING), dice.randrange(1, 4))
                    given = Call(name="wide", arguments={key: some_value(dice) for key in keys})
                    if tools:  # values of the schema's types, so that little is refused for those
                        fitting = {
                            "text": "".join(dice.choices(PIECES, k=3)),
                            "whole": 2**70,
                            "real": 2.5,
                            "switch": True,
                        }
                        given = Call(
                            name="wide", arguments=given.arguments | {k: v for k, v in fitting.items() if k in keys}
                        )
                    try:
                        text = render_call(given, style, tools)
                    except InvalidInput:
                        refused += 1
                        continue
                    carried += 1
                    known = tools or [{"function": {"name": "wide", "parameters": {"properties": _types(given)}}}]
                    assert same_calls(parse_reply(f"Look: {text}\nDone.", style, known).calls, [given])
                assert carried > 50
                assert refused > 10


def _types(given: Call) -> dict[str, dict]:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return {key: {"type": names.get(type(value), "null")} for key, value in given.arguments.items()}


CARRIED: list[tuple[str, Any]] = [
    ("text", "3"),
    ("text", "true"),
    ("text", "[1]"),
    ("text", "x </function> y"),
    ("text", "<parameter=a>"),
    ("whole", 2**53 + 1),
    ("real", 1.0),
    ("switch", False),
    ("maybe", 3),
    ("maybe", None),
    ("either", "3"),
    ("either", "[1]"),
    ("either", None),
    ("list", [1, {"a": None}]),
    ("object", {"a": "</tool_call"}),
]


def test_xml_carries_what_the_schema_says(subtests: pytest.Subtests) -> None:
    """Where mlx-lm's reading does not fit the schema or rounds, the text is read as JSON, or is the text."""
    for argument, value in CARRIED:
        with subtests.test(argument=argument, value=value):
            given = Call(name="wide", arguments={argument: value})
            found = parse_reply(render_call(given, "qwen3-coder", WIDE), "qwen3-coder", WIDE)
            assert same_calls(found.calls, [given]), found.detail


REFUSED: list[tuple[Tools | None, dict[str, Any]]] = [
    (WIDE, {"free": 3}),
    (WIDE, {"free": "[1]"}),
    (WIDE, {"text": "null"}),
    (WIDE, {"whole": "3"}),
    (TOOLS, {"path": "a", "other": 1}),
    (None, {"a b": "x"}),
    (None, {"a": {1: 2}}),
    (None, {"a": float("nan")}),
    (None, {"a": {"b", "c"}}),
    (None, {"a": "\ud800"}),
]


def test_xml_refuses_what_would_be_read_as_something_else(subtests: pytest.Subtests) -> None:
    """Never is a value changed in silence."""
    for tools, arguments in REFUSED:
        with subtests.test(tools=tools, arguments=arguments):
            name = tools[0]["function"]["name"] if tools else "look"
            with pytest.raises(InvalidInput, match=f"call .*{name}.*(cannot carry it|no JSON)"):
                render_call(Call(name=name, arguments=arguments), "qwen3-coder", tools)


@pytest.mark.parametrize("value", ["True", "true", "FALSE"])
def test_a_boolean_in_xml_may_be_spelt_as_python_does(value: str) -> None:
    """Qwen3-Coder's template does; anything else that mlx-lm takes for false is a fault."""
    text = "<tool_call>\n<function=wide>\n<parameter=switch>\n{}\n</parameter>\n</function>\n</tool_call>"
    (found,) = parse_reply(text.format(value), "qwen3-coder", WIDE).calls
    assert found.arguments == {"switch": value.lower() == "true"}
    assert parse_reply(text.format("maybe"), "qwen3-coder", WIDE).failure == "bad arguments"


@pytest.mark.parametrize("style", ["hermes", "qwen3-coder"])
def test_plain_calls_are_read_as_mlx_lm_reads_them(style: Format) -> None:
    """Its server runs what we judge."""
    from mlx_lm.tool_parsers import json_tools, qwen3_coder

    given = call(path="a b.py", line=3, deep=False)
    body = render_call(given, style, TOOLS).removeprefix("<tool_call>").removesuffix("</tool_call>")
    parser = json_tools if style == "hermes" else qwen3_coder
    assert parser.parse_tool_call(body.strip(), TOOLS) == given.model_dump()


def test_a_tool_without_parameters_can_be_called_and_described() -> None:
    """OpenAI's schemas may leave them out."""
    tools: Tools = [{"type": "function", "function": {"name": "now"}}]
    text = render_call(Call(name="now", arguments={}), "qwen3-coder", tools)
    assert parse_reply(text, "qwen3-coder", tools).decision == "call"
    assert describe_tools(tools) == "now()"


@pytest.mark.parametrize("style", FORMATS)
def test_a_reply_of_nothing_but_white_space_is_read_at_once(style: Format) -> None:
    """A model that goes round in circles must not hold up the judge."""
    started = time.perf_counter()
    assert parse_reply("\n" * 30_000 + "{", style, TOOLS).decision == "answer"
    assert time.perf_counter() - started < 1


def test_normalised_calls_ignore_key_order_and_white_space() -> None:
    """Two calls that do the same are the same in a snapshot."""
    one, other = call(path="a  b\n", line=1), call(line=1, path="a b")
    assert one.normalised().model_dump_json() == other.normalised().model_dump_json()
