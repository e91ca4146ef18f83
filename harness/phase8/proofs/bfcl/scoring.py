"""Judge a reply to an item: did it call where it should, and are name and arguments of the call right? Pure.

Values are compared by BFCL's rules (its checker of abstract syntax trees): strings without case, blanks and
``,./-_*^``, both kinds of quotes being one; an integer where a float is declared, but no float for an integer; lists
in order; of a dictionary every value among those accepted under its key. Ours, and milder than BFCL's, is that the
rules hold at every depth. Ours, and stricter, is that an attempt at a call that nothing could execute, or an empty
reply, is right in no category; BFCL takes both for "no call".
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from phase8.chat.formats import Call, Parsed, Tools, parse_reply
from phase8.core.safe_text import one_line
from phase8.core.values import Frozen
from phase8.profile.sections import Prompting
from phase8.profile.terms import Format
from phase8.proofs.bfcl.items import Accepted, Item
from phase8.record.run import Finish

Decision = Literal["call", "answer", "malformed", "empty"]

_READABLE = ("unknown tool", "bad arguments")  # failures of a call that could be read: it decided to call
_KINDS = {"unknown tool": "unknown function"}
_IGNORED = {ord(sign): None for sign in " ,./-_*^"} | {ord("'"): '"'}
_DETAIL = 200  # characters of a reason


class Miss(Frozen):
    """Why a reply is wrong: one of few kinds, and what it is about."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


class Judgement(Frozen):
    """What a reply does, whether that is right, and whether its call is (None where no call is wanted)."""

    calls: tuple[Call, ...]
    decision: Decision
    correct: bool
    matched: bool | None
    miss: Miss | None


def judge(item: Item, text: str, finish: Finish, prompting: Prompting) -> Judgement:
    """Read a reply in the profile's format and judge it; what follows a stop sequence is not part of it."""
    for stop in prompting.stop_sequences:
        text = text.partition(stop)[0]
    parsed = parse_reply(text, prompting.format, reading_tools(item, prompting.format), finished=finish == "stop")
    decision, miss = _decision(parsed, text)
    if item.accepted is None:
        if decision == "call":
            miss = Miss(kind="call", detail=miss.detail if miss else ", ".join(call.name for call in parsed.calls))
        return Judgement(calls=parsed.calls, decision=decision, correct=decision == "answer", matched=None, miss=miss)
    if decision == "answer":
        miss = Miss(kind="no call")
    miss = miss or find_miss(parsed.calls, item.accepted, item.tools)
    return Judgement(calls=parsed.calls, decision=decision, correct=decision == "call", matched=miss is None, miss=miss)


def _decision(parsed: Parsed, text: str) -> tuple[Decision, Miss | None]:
    """What a reply does, and what is wrong with it whatever its item asks."""
    if parsed.failure:
        miss = Miss(kind=_KINDS.get(parsed.failure, parsed.failure), detail=one_line(parsed.detail, _DETAIL))
        return "call" if parsed.failure in _READABLE else "malformed", miss
    if parsed.calls:
        return "call", None
    return ("answer", None) if text.strip() else ("empty", Miss(kind="empty reply"))


def reading_tools(item: Item, style: Format) -> Tools:
    """The functions of an item as a reply is read with: nothing is required, since misfits are named here.

    Only ``qwen3-coder`` needs types: it writes values without them, and its reader takes them from the schema. For
    lists and objects it finds them by itself.
    """
    tools = []
    for tool in item.tools:
        function, types = tool["function"], {}
        if style == "qwen3-coder":
            declared = {name: part.get("type") for name, part in function["parameters"]["properties"].items()}
            untyped = ("array", "object", None)
            types = {n: {"title": n} if kind in untyped else {"type": kind} for n, kind in declared.items()}
        tools.append({"type": "function", "function": {"name": function["name"], "parameters": {"properties": types}}})
    return tools


def find_miss(calls: Sequence[Call], accepted: Accepted, tools: Sequence[dict[str, Any]]) -> Miss | None:
    """What is wrong with the calls of a reply, the first of it; None where they are the one right call."""
    if len(calls) != 1:
        return Miss(kind="several calls", detail=f"{len(calls)}, where one is right")
    call = calls[0]
    if call.name != accepted.name:
        return Miss(kind="wrong function", detail=call.name)
    schema = next(tool["function"]["parameters"] for tool in tools if tool["function"]["name"] == call.name)
    for name in schema.get("required", []):
        if name not in call.arguments:
            return Miss(kind="missing argument", detail=name)
    for name, value in call.arguments.items():
        if name not in schema["properties"] or name not in accepted.arguments:
            return Miss(kind="unknown argument", detail=name)
        if not is_accepted(value, accepted.arguments[name], schema["properties"][name]):
            found, right = (json.dumps(shown, ensure_ascii=False) for shown in (value, accepted.arguments[name]))
            return Miss(kind="value", detail=one_line(f"{name}: {found}, accepted: {right}", _DETAIL))
    for name, values in accepted.arguments.items():
        if name not in call.arguments and "" not in values:
            return Miss(kind="missing argument", detail=f"{name}, which has no default that would be right")
    return None


def is_accepted(value: Any, accepted: Sequence[Any], schema: dict[str, Any]) -> bool:
    """Whether a value is one of those accepted for an argument of this JSON schema."""
    textual = schema.get("type") in ("string", None)
    return any(_same(value, right, schema) for right in accepted if textual or right != "")  # "" is also "left out"


def standardised(text: str) -> str:
    """Text as it is compared: lower case, without blanks and ``,./-_*^``, single quotes as double ones."""
    return text.translate(_IGNORED).lower()


def _same(value: Any, right: Any, schema: dict[str, Any]) -> bool:
    if isinstance(right, str):
        return isinstance(value, str) and standardised(value) == standardised(right)
    if isinstance(right, bool) or isinstance(value, bool):
        return value is right
    if isinstance(right, int | float):
        as_float = schema.get("type") == "number" or isinstance(right, float)
        return isinstance(value, int | float if as_float else int) and value == right
    if isinstance(right, list):
        part = schema.get("items", {})
        return (
            isinstance(value, list)
            and len(value) == len(right)
            and all(_same(one, other, part) for one, other in zip(value, right, strict=True))
        )
    if isinstance(right, dict):
        return isinstance(value, dict) and _same_object(value, right, schema.get("properties", {}))
    return value == right


def _same_object(value: dict[str, Any], right: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether each key is known with an accepted value, and no key is missing that may not be."""
    return all(
        key in right and is_accepted(found, _alternatives(right[key]), schemas.get(key, {}))
        for key, found in value.items()
    ) and all(key in value or "" in _alternatives(values) for key, values in right.items())


def _alternatives(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]
