"""Faults of tool calls in a chat file: which format they are written in, and whether they could be executed."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args

from phase8.chat.conversation import structured_call
from phase8.chat.formats import Call, Tools, opening, parse_reply
from phase8.chat.jsonl import Row
from phase8.chat.tool_schemas import parameters, tools_fault
from phase8.core.errors import InvalidInput
from phase8.corpus.lint.rows import Fault, error
from phase8.profile.terms import Format

Style = Format | Literal["structured"]
_FORMATS: tuple[Format, ...] = get_args(Format)
_RULES = {"unknown tool": "unknown tool", "bad arguments": "arguments"}


class Calls(NamedTuple):
    """What one assistant's message calls: how often (attempts count), with which ids, and the faults in it."""

    count: int
    ids: frozenset[str]
    faults: tuple[Fault, ...]


def votes(rows: Iterable[Row]) -> Counter[Style]:
    """How many rows have a call in each format; text that only looks like one counts where no row has a call."""
    readable: Counter[Style] = Counter()
    opened: Counter[Style] = Counter()
    for row in rows:
        said = [message for message in row["messages"] if message["role"] == "assistant"]
        if any(message.get("tool_calls") for message in said):
            readable["structured"] += 1
        texts = [message.get("content") or "" for message in said]
        readable.update(style for style in _FORMATS if any(style in written_in(text) for text in texts))
        opened.update({style for text in texts for style in _opened(text)})
    return readable or opened


def written_in(text: str) -> list[Format]:
    """The formats in which a text has a call that can be read, whatever tool it names."""
    return [style for style in _FORMATS if _hint(style) in text and _is_readable(text, style)]


def row_tools(row: Row, otherwise: Tools | None) -> tuple[Tools | None, tuple[Fault, ...]]:
    """The tools that a row's calls are checked against: its own, else those of the profile; None is unknown."""
    if row.get("tools") is None:
        return otherwise, ()
    fault = tools_fault(row["tools"])
    return (None, (error("tools", fault),)) if fault else (row["tools"], ())


def read_calls(index: int, message: Row, style: Style | None, tools: Tools | None) -> Calls:
    """The calls of the assistant's message ``messages[index]``, structured and as text."""
    from referencing.exceptions import Unresolvable

    where = f"messages[{index}]"
    try:
        ids, faults = _structured(where, message.get("tool_calls") or [], tools)
        count, in_text = _in_text(where, message.get("content") or "", style, tools)
    except (re.error, RecursionError, Unresolvable) as fault:
        return Calls(1, frozenset(), (error("tools", f"{where}: a tool's schema cannot be applied: {fault}"),))
    return Calls(len(message.get("tool_calls") or []) + count, frozenset(ids), (*faults, *in_text))


def result_faults(messages: list[Row], calls: dict[int, Calls]) -> Iterator[Fault]:
    """Tool results that no call asked for; ``calls`` holds those of each assistant's message by its index."""
    waiting, ids = 0, frozenset()
    for index, message in enumerate(messages):
        if message["role"] != "tool":
            waiting, ids = (calls[index].count, calls[index].ids) if index in calls else (0, frozenset())
            continue
        if not waiting:
            yield error("roles", f"messages[{index}]: a tool result without a preceding call")
        elif ids and (named := message.get("tool_call_id")) and named not in list(ids):
            yield error(
                "roles", f"messages[{index}]: a result of the call {named!r}; made were {', '.join(sorted(ids))}"
            )
        waiting = max(0, waiting - 1)


def _in_text(where: str, text: str, style: Style | None, tools: Tools | None) -> tuple[int, list[Fault]]:
    if style is None or style == "structured":
        if found := written_in(text):
            return 1, [error("call", f"{where}: a call as text ({found[0]}), where other rows have tool_calls")]
        if style is None and parse_reply(text, "hermes", []).failure:
            return 1, [error("call", f"{where}: looks like a tool call, but in no known format")]
        return 0, []
    known = tools or []
    whole = parse_reply(text, style, known)
    if not whole.failure:
        return len(whole.calls), []
    first = re.escape(opening(style).split()[0])
    parsed = [parse_reply(piece, style, known) for piece in re.split(f"(?={first})", text)[1:]] or [whole]
    failed = [found for found in parsed if found.failure and (tools is not None or found.failure != "unknown tool")]
    if not failed and tools is not None:
        failed = [whole]
    faults = [error(_RULES.get(str(f.failure), "call"), f"{where}: {f.failure}: {f.detail}") for f in failed]
    return max(1, sum(found.decision != "answer" for found in parsed)), faults


def _structured(where: str, calls: list[Any], tools: Tools | None) -> tuple[list[str], list[Fault]]:
    ids, faults = [], []
    for index, call in enumerate(calls):
        place = f"{where}.tool_calls[{index}]"
        if isinstance(call, dict) and isinstance(call.get("id"), str):
            ids.append(call["id"])
        try:
            read = structured_call(call)
        except InvalidInput as fault:
            faults.append(error("call", f"{place}: {fault}"))
            continue
        if tools is not None:
            faults += _misfits(place, read, tools)
    return ids, faults


def _misfits(place: str, call: Call, tools: Tools) -> Iterator[Fault]:
    """Every way in which a call breaks the schema of its tool."""
    import jsonschema

    known = {tool["function"]["name"]: parameters(tool) for tool in tools}
    if call.name not in known:
        yield error("unknown tool", f"{place}: {call.name!r}; known: {', '.join(known) or 'none'}")
        return
    for fault in jsonschema.Draft202012Validator(known[call.name]).iter_errors(call.arguments):
        yield error("arguments", f"{place}: {fault.message}")


def _is_readable(text: str, style: Format) -> bool:
    return parse_reply(text, style, []).failure == "unknown tool"


def _opened(text: str) -> list[Format]:
    """The one format that a broken call seems to be meant in, or none."""
    for style in ("qwen3-coder", "hermes", "fenced"):
        if _hint(style) in text and (style != "fenced" or '"name"' in text):
            return [style]
    return []


def _hint(style: Format) -> str:
    """What every call in this format has: cheap to look for, and without it no parser is loaded."""
    return opening(style).split()[-1]
