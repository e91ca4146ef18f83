"""The prompts that variants are judged on, each with what the right reply does."""

import json
from pathlib import Path
from typing import Literal

from harness.errors import InvalidInput
from harness.formats import Tools, describe_tools, parse_reply
from harness.frozen import Frozen
from harness.profile import Format, Located, Prompting
from harness.record import Label
from harness.rows import Row, read_rows

CASES = Path(__file__).resolve().parent.parent / "data" / "cases"


class Case(Frozen):
    """One prompt: the conversation up to the reply, and whether that should call a tool.

    ``tools`` are the schemas that the conversation tells of; None is the profile's.
    """

    id: str
    suite: Literal["canonical", "held-out"]
    turn: Literal[1, 2]
    label: Label
    query: str
    messages: tuple[dict, ...]
    tools: tuple[dict, ...] | None = None


class Query(Frozen):
    """One line of a query file."""

    id: str
    query: str
    label: Label


def find_case_file(located: Located, name: str) -> Path:
    """A file of hand-written cases: beside the profile if it is there, else the shipped one.

    Raises:
        InvalidInput: it is in neither place.
    """
    for path in (located.resolve(name), CASES / name):
        if path.is_file():
            return path
    raise InvalidInput(f"{located.path}: {name} is neither beside the profile nor in {CASES}")


def read_tools(located: Located) -> Tools:
    """The tool schemas of a profile, OpenAI style.

    Raises:
        InvalidInput: the file is missing or no list of function schemas.
    """
    path = find_case_file(located, located.profile.prompting.tools)
    try:
        tools = json.loads(path.read_text(encoding="utf-8"))
        for tool in tools:
            _ = tool["function"]["name"], tool["function"]["parameters"]["properties"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path}: not a list of function schemas: {error!r}") from error
    if not tools or not isinstance(tools, list):
        raise InvalidInput(f"{path}: not a list of function schemas: found {tools!r}; at least one tool is needed")
    return tools


def system_message(prompting: Prompting, tools: Tools) -> list[dict]:
    """The system message with the tools described in it, or nothing where the profile has none."""
    if not prompting.system:
        return []
    return [{"role": "system", "content": prompting.system.replace("{tools}", describe_tools(tools))}]


def canonical_cases(located: Located, tools: Tools) -> list[Case]:
    """The profile's canonical queries, asked with its system prompt.

    Raises:
        InvalidInput: no query file, a malformed line, or an id used twice.
    """
    path = find_case_file(located, located.profile.queries.canonical)
    queries = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                queries.append(Query.model_validate_json(line))
            except ValueError as error:
                raise InvalidInput(f"{path}:{number}: not a query with id, query and label: {error}") from error
    ids = [query.id for query in queries]
    if not queries or len(set(ids)) < len(ids):
        raise InvalidInput(f"{path}: {'no queries' if not queries else 'an id is used twice'}")
    system = system_message(located.profile.prompting, tools)
    return [
        Case(
            id=query.id,
            suite="canonical",
            turn=1,
            label=query.label,
            query=query.query,
            messages=(*system, {"role": "user", "content": query.query}),
        )
        for query in queries
    ]


def held_out_cases(path: Path, style: Format, tools: Tools, second_turns: int) -> list[Case]:
    """Cases from the held-out rows: each row's first reply, and what follows up to ``second_turns`` tool results.

    A row's label is what its own first assistant turn does, so files made elsewhere need no labels.
    Only results that the row itself answers are asked about.

    Raises:
        InvalidInput: a malformed row, or a first assistant turn that is a malformed call.
    """
    first, second = [], []
    for index, row in enumerate(read_rows(path)):
        messages = row["messages"]
        turn = [message["role"] for message in messages].index("assistant")
        known = row.get("tools") or tools
        label = _label(messages[turn], style, known, f"{path}: conversation {index + 1}")
        query = next(m["content"] for m in reversed(messages[:turn]) if m["role"] == "user")
        case = Case(
            id=f"row-{index:03d}",
            suite="held-out",
            turn=1,
            label=label,
            query=query,
            messages=tuple(messages[:turn]),
            tools=tuple(row.get("tools") or ()),
        )
        first.append(case)
        if label == "tool" and _is_answered(messages, turn, style, known):
            after = tuple(messages[: turn + 2])
            second.append(case.model_copy(update={"turn": 2, "label": "direct", "messages": after}))
    return first + _spread(second, second_turns)


def _label(message: Row, style: Format, tools: Tools, where: str) -> Label:
    """What an assistant's message does; one that no reply could match is no label."""
    if message.get("tool_calls"):
        return "tool"
    parsed = parse_reply(message["content"], style, tools)
    if parsed.failure:
        raise InvalidInput(
            f"{where}: the assistant's first message looks like a tool call but is none in format {style!r}: "
            f"{parsed.failure}: {parsed.detail}. Correct it, or set prompting.format and prompting.tools to fit it"
        )
    return "tool" if parsed.calls else "direct"


def _is_answered(messages: list[Row], turn: int, style: Format, tools: Tools) -> bool:
    """Whether a call is followed by its result and an answer, not by another call."""
    if [message["role"] for message in messages[turn + 1 : turn + 3]] != ["tool", "assistant"]:
        return False
    last = messages[turn + 2]
    return not last.get("tool_calls") and parse_reply(last["content"], style, tools).decision == "answer"


def _spread(cases: list[Case], count: int) -> list[Case]:
    """At most ``count`` of the cases, evenly spread over them."""
    if len(cases) <= count:
        return cases
    return [cases[i * len(cases) // count] for i in range(count)]
