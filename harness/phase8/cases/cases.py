"""The prompts that variants are judged on, each with what the right reply does."""

import json
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from phase8.chat.formats import Tools, describe_tools, parse_reply
from phase8.chat.jsonl import Row, read_rows
from phase8.chat.tool_schemas import parameters, tools_fault
from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.core.same_query import folded
from phase8.core.values import Frozen
from phase8.profile.loading import Located
from phase8.profile.sections import Prompting
from phase8.profile.terms import Format
from phase8.record.run import Label, Suite

_NO_TEMPLATE = frozenset({"", "hand-written"})
CASES = ROOT / "data" / "cases"


class Case(Frozen):
    """One prompt: the conversation up to the reply, and whether that should call a tool.

    ``tools`` are the schemas that the conversation tells of; None is the profile's.
    ``group`` is the topic or symbol that the prompt is about and ``phrasing`` the template it was made from, if any:
    prompts that share one of them are no independent evidence. ``category`` is what makes a probe hard;
    ``unseen`` says that no training query has this phrasing. ``max_tokens`` is how far its reply is read;
    None is as far as the profile's replies are.
    """

    id: str
    suite: Suite
    turn: Literal[1, 2]
    label: Label
    query: str
    messages: tuple[dict, ...]
    tools: tuple[dict, ...] | None = None
    group: str = ""
    phrasing: str = ""
    category: str = ""
    unseen: bool = False
    max_tokens: int | None = None


class Query(Frozen):
    """One line of a query file."""

    id: str
    query: str
    label: Label


class Probe(Query):
    """One line of a file of hard probes: what makes it hard, and why its label is right."""

    category: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]


class Origin(Frozen):
    """What ``provenance.jsonl`` says of a held-out row that a judge needs to know."""

    group: str
    phrasing: str
    unseen: bool


Q = TypeVar("Q", bound=Query)


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
        fault = tools_fault(tools) or ("" if tools else "at least one tool is needed")
    except (ValueError, RecursionError) as error:
        fault = str(error)
    if fault:
        raise InvalidInput(f"{path}: not a list of function schemas: {fault}")
    if bare := [tool["function"]["name"] for tool in tools if "properties" not in parameters(tool)]:
        raise InvalidInput(
            f"{path}: not a list of function schemas: {', '.join(bare)} without parameters.properties (may be empty)"
        )
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
    return [_asked(located, tools, "canonical", query) for query in _read_queries(path, Query)]


def probe_cases(located: Located, tools: Tools) -> list[Case]:
    """The profile's hard probes, asked like the canonical queries; none where it names no file.

    The two halves of a contrast pair, ``slots-tool`` and ``slots-direct``, are one group.

    Raises:
        InvalidInput: no such file, a malformed line, or an id used twice.
    """
    queries = located.profile.queries
    if queries.probes is None:
        return []
    asked = []
    for probe in _read_queries(find_case_file(located, queries.probes), Probe):
        group = probe.id.removesuffix(f"-{probe.label}")
        case = _asked(located, tools, "probe", probe, group=group, category=probe.category)
        asked.append(case.model_copy(update={"max_tokens": queries.probe_tokens}))
    return asked


def _read_queries(path: Path, kind: type[Q]) -> list[Q]:
    queries = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                queries.append(kind.model_validate_json(line))
            except ValueError as error:
                keys = ", ".join(kind.model_fields)
                raise InvalidInput(f"{path}:{number}: not a query with {keys}: {error}") from error
    ids = [query.id for query in queries]
    if not queries or len(set(ids)) < len(ids):
        raise InvalidInput(f"{path}: {'no queries' if not queries else 'an id is used twice'}")
    return queries


def _asked(located: Located, tools: Tools, suite: Suite, query: Query, group: str = "", category: str = "") -> Case:
    system = system_message(located.profile.prompting, tools)
    return Case(
        id=query.id,
        suite=suite,
        turn=1,
        label=query.label,
        query=query.query,
        messages=(*system, {"role": "user", "content": query.query}),
        group=group or query.id,
        category=category,
    )


def first_query(row: Row) -> str:
    """What the first reply of a conversation answers."""
    messages = row["messages"]
    turn = [message["role"] for message in messages].index("assistant")
    return next(m["content"] for m in reversed(messages[:turn]) if m["role"] == "user")


def held_out_cases(path: Path, style: Format, tools: Tools, second_turns: int) -> list[Case]:
    """Cases from the held-out rows: each row's first reply, and what follows up to ``second_turns`` tool results.

    A row's label is what its own first assistant turn does, so files made elsewhere need no labels.
    Only results that the row itself answers are asked about. Topic and phrasing come from the ``provenance.jsonl``
    beside the file; without one every query is a group of its own, so that a row written twice is no second witness.

    Raises:
        InvalidInput: a malformed row, a first assistant turn that is a malformed call, or a row without provenance.
    """
    first, second = [], []
    origins, asked = _read_origins(path), dict[str, int]()
    for index, row in enumerate(read_rows(path)):
        messages = row["messages"]
        turn = [message["role"] for message in messages].index("assistant")
        known = row.get("tools") or tools
        label = _label(messages[turn], style, known, f"{path}: conversation {index + 1}")
        query = first_query(row)
        alike = asked.setdefault(folded(query), index)
        origin = _origin(origins, alike if origins is None else index, path)
        case = Case(
            id=f"row-{index:03d}",
            suite="held-out",
            turn=1,
            label=label,
            query=query,
            messages=tuple(messages[:turn]),
            tools=tuple(row.get("tools") or ()),
            **origin.model_dump(),
        )
        first.append(case)
        if label == "tool" and _is_answered(messages, turn, style, known):
            after = tuple(messages[: turn + 2])
            second.append(case.model_copy(update={"turn": 2, "label": "direct", "messages": after}))
    return first + _spread(second, second_turns)


def _read_origins(test: Path) -> dict[int, Origin] | None:
    """The held-out rows' origins by row number; None where the rows were made elsewhere."""
    path = test.with_name("provenance.jsonl")
    if not path.is_file():
        return None
    found = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            told = json.loads(line)
            if told["split"] == "test":
                phrasing = told["provenance"]["phrasing"]
                made_from = "" if phrasing in _NO_TEMPLATE else phrasing
                unseen = told.get("unseen_phrasing", False)
                found[int(told["row"])] = Origin(group=told["group"], phrasing=made_from, unseen=unseen)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{path}:{number}: not the origin of a row: {error!r}") from error
    return found


def _origin(origins: dict[int, Origin] | None, row: int, test: Path) -> Origin:
    if origins is None:
        return Origin(group=f"row-{row:03d}", phrasing="", unseen=False)
    if row not in origins:
        raise InvalidInput(f"{test.with_name('provenance.jsonl')}: row {row} of the test split is missing")
    return origins[row]


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
