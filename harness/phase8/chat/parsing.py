"""Tool calls read back from text, strictly: what looks like a call and is no valid one is a named failure.

Calls in Qwen3-Coder's XML are read with mlx-lm's parser, made strict from outside: it drops what it does not
understand, takes any text for a boolean and sends integers through a float. Its parser of JSON calls is
``json.loads`` alone, which takes a key given twice and NaN; JSON is read here.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Literal

from phase8.chat.tool_schemas import Tools, arguments_fault, fits
from phase8.core.values import Frozen
from phase8.profile.terms import Format

Failure = Literal["no call", "wrong wrapper", "bad JSON", "unknown tool", "bad arguments", "truncated", "ran past stop"]


class Call(Frozen):
    """One tool call."""

    name: str
    arguments: dict[str, Any]

    def normalised(self) -> "Call":
        """The same call with sorted keys and white space folded in strings."""
        folded = {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in sorted(self.arguments.items())}
        return Call(name=self.name, arguments=folded)


class Parsed(Frozen):
    """What a reply contains: valid calls, or the failure of the first attempt at one.

    ``no call`` and ``ran past stop`` depend on more than the text: ``phase8.cases.replies`` names them.
    """

    calls: tuple[Call, ...] = ()
    failure: Failure | None = None
    detail: str = ""

    @property
    def decision(self) -> Literal["call", "answer", "malformed"]:
        """What the reply does: ``malformed`` is an attempt at a call that nothing could execute."""
        if self.failure:
            return "malformed"
        return "call" if self.calls else "answer"


# A call in its wrapper: what is inside, and the closing wrapper, empty where the text ends before it.
BLOCK = {
    "fenced": re.compile(r"```json\s*\n(.*?)(\n```|\Z)", re.DOTALL),
    "hermes": re.compile(r"<tool_call>(.*?)(</tool_call>|\Z)", re.DOTALL),
    "qwen3-coder": re.compile(r"<tool_call>(.*?)(</tool_call>|\Z)", re.DOTALL),
}
_BARE = re.compile(
    r'^[ \t]*\{\s*"name"\s*:|```\w*\s*\{\s*"name"\s*:|"arguments"\s*:\s*\{|<function=|<tool_call>', re.MULTILINE
)
_PARAMETER = r"<parameter=([^\s<>]+)>((?:(?!</parameter>).)*)</parameter>"
_FUNCTION = re.compile(rf"<function=[^\s<>]+>(?:\s*{_PARAMETER})*\s*</function>", re.DOTALL)


def parse_reply(text: str, style: Format, tools: Tools, *, finished: bool = True) -> Parsed:
    """Read the calls in a reply. There may be several, with prose before, between and after them.

    Args:
        text: the reply without its stop sequence.
        style: the format calls must be in.
        tools: the schemas that arguments are checked against, JSON Schema draft 2020-12.
        finished: False where the reply hit the token limit, so that an open block is ``truncated``.
    """
    calls = []
    for body, closing in BLOCK[style].findall(text):
        if not closing:
            return Parsed(failure="bad JSON" if finished else "truncated", detail="block is not closed")
        try:
            call = _read_xml(body.strip(), tools) if style == "qwen3-coder" else _call(read_json(body))
        except (ValueError, RecursionError) as error:
            return Parsed(failure="bad JSON", detail=str(error)[:200])
        if problem := _misfit(call, tools):
            return problem
        calls.append(call)
    if _BARE.search(BLOCK[style].sub("", text)):
        opening = "```json" if style == "fenced" else "<tool_call>"
        return Parsed(failure="wrong wrapper", detail=f"looks like a call outside {opening}")
    return Parsed(calls=tuple(calls))


def read_json(text: str) -> Any:
    """A JSON value, as its standard has it.

    Raises:
        ValueError: no JSON; a key given twice, a number that is not finite, half a surrogate pair.
        RecursionError: nested too deeply.
    """
    value = json.loads(text, object_pairs_hook=_each_once, parse_constant=_finite, parse_float=_finite)
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is in no UTF-8 file
    return value


def same_calls(some: Sequence[Call], others: Sequence[Call]) -> bool:
    """Whether calls are the same to the letter; Python alone holds true for 1, and 1 for 1.0."""
    texts = [json.dumps([call.model_dump() for call in calls]) for calls in (some, others)]
    return tuple(some) == tuple(others) and texts[0] == texts[1]


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no JSON number")
    return number


def _call(raw: Any) -> Call:
    known = isinstance(raw, dict) and isinstance(raw.get("name"), str) and isinstance(raw.get("arguments"), dict)
    if not known:
        raise ValueError('expected {"name": "...", "arguments": {...}}')
    return Call(name=raw["name"], arguments=raw["arguments"])


def _read_xml(body: str, tools: Tools) -> Call:
    import_module("phase8.engine")  # loads the fast BLAS, which must be there before mlx_lm loads MLX
    from mlx_lm.tool_parsers.qwen3_coder import parse_tool_call

    if not _FUNCTION.fullmatch(body):
        raise ValueError("expected <function=NAME> with closed parameters and nothing else in a block")
    plain = parse_tool_call(body)  # without schemas every value is its text, but for null
    name, texts = plain["name"], plain["arguments"]
    if len(re.findall(_PARAMETER, body, re.DOTALL)) > len(texts):
        raise ValueError("a parameter is given twice")
    if name not in _names(tools):
        return Call(name=name, arguments=texts)
    try:
        typed = parse_tool_call(body, tools)["arguments"]
    except (ValueError, TypeError, OverflowError):  # one value that is none of its type stops it
        typed = texts
    arguments = {}
    for key, text in texts.items():
        meant = list(_meanings(text, typed[key]))
        arguments[key] = next((value for value in meant if fits(value, name, key, tools)), meant[-1])
    return Call(name=name, arguments=arguments)


def _meanings(text: str | None, typed: Any) -> Iterator[Any]:
    """What the text of a parameter may mean, mlx-lm's reading first; it reads every null as None.

    Its numbers and objects are taken where they are JSON, and then exactly; its booleans where it wrote True or False.
    """
    if text is None:
        yield None
        return
    if isinstance(typed, str):
        yield typed
    try:
        yield read_json(text)
    except (ValueError, RecursionError):
        if isinstance(typed, bool) and text.lower() in ("true", "false"):
            yield typed
    yield text


def _names(tools: Tools) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


def _misfit(call: Call, tools: Tools) -> Parsed | None:
    if call.name not in _names(tools):
        return Parsed(failure="unknown tool", detail=f"{call.name!r}; known: {', '.join(_names(tools))}")
    fault = arguments_fault(call.name, call.arguments, tools)
    return Parsed(failure="bad arguments", detail=fault[:200]) if fault else None
