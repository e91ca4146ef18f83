"""Tool calls as text: how a call is written in a reply, and how it is read back.

Three formats: ``fenced`` (a Markdown ``json`` block, as Phase 8 was trained),
``hermes`` (JSON inside ``<tool_call>``) and ``qwen3-coder`` (XML inside
``<tool_call>``). Reading is strict: a reply that looks like a call and is not a
valid one is a named failure, never a direct answer.
"""

import json
import re
from importlib import import_module
from typing import Any, Literal

from harness.errors import InvalidInput
from harness.frozen import Frozen
from harness.profile import Format

Failure = Literal["bad JSON", "no wrapper", "unknown tool", "bad arguments", "truncated"]
Tools = list[dict[str, Any]]


class Call(Frozen):
    """One tool call."""

    name: str
    arguments: dict[str, Any]

    def normalised(self) -> "Call":
        """The same call with sorted keys and white space folded in strings."""
        folded = {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in sorted(self.arguments.items())}
        return Call(name=self.name, arguments=folded)


class Parsed(Frozen):
    """What a reply contains: valid calls, or the failure of the first attempt at one."""

    calls: tuple[Call, ...] = ()
    failure: Failure | None = None
    detail: str = ""

    @property
    def decision(self) -> Literal["call", "answer", "malformed"]:
        """What the reply does: ``malformed`` is an attempt at a call that nothing could execute."""
        if self.failure:
            return "malformed"
        return "call" if self.calls else "answer"


_OPENING = {"fenced": "```json\n", "hermes": "<tool_call>\n", "qwen3-coder": "<tool_call>\n<function="}
_BLOCK = {
    "fenced": re.compile(r"```json\s*\n(.*?)(\n```|\Z)", re.DOTALL),
    "hermes": re.compile(r"<tool_call>(.*?)(</tool_call>|\Z)", re.DOTALL),
    "qwen3-coder": re.compile(r"<tool_call>(.*?)(</tool_call>|\Z)", re.DOTALL),
}
_BARE = re.compile(
    r'^\s*\{\s*"name"\s*:|```\w*\s*\{\s*"name"\s*:|"arguments"\s*:\s*\{|<function=|<tool_call>', re.MULTILINE
)


def opening(style: Format) -> str:
    """The fixed string that every call in this format starts with."""
    return _OPENING[style]


def render_call(call: Call, style: Format) -> str:
    """A call as the text of an assistant's reply.

    Raises:
        InvalidInput: a value that this format cannot carry, so that reading it back would differ.
    """
    payload = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    if style == "fenced":
        body, text = payload, f"```json\n{payload}\n```"
    elif style == "hermes":
        body, text = payload, f"<tool_call>\n{payload}\n</tool_call>"
    else:
        parameters = "".join(
            f"<parameter={key}>\n{value if isinstance(value, str) else json.dumps(value)}\n</parameter>\n"
            for key, value in call.arguments.items()
        )
        body = f"<function={call.name}>\n{parameters}</function>"
        text = f"<tool_call>\n{body}\n</tool_call>"
    carried = [found.strip() for found, _ in _BLOCK[style].findall(text)] == [body]
    if style == "qwen3-coder":
        values = [v for v in call.arguments.values() if isinstance(v, str)]
        carried = carried and not any("</parameter>" in v or "</function>" in v or v.lower() == "null" for v in values)
    if not carried:
        raise InvalidInput(f"call {payload}: format {style!r} cannot carry it. Use another format or value.")
    return text


def describe_tools(tools: Tools) -> str:
    """Tool schemas as one short line a tool, for prompts whose template has no place for tools."""
    lines = []
    for tool in tools:
        function = tool["function"]
        parameters = function["parameters"]
        required = parameters.get("required", [])
        names = [n if n in required else f"{n}?" for n in parameters["properties"]]
        lines.append(f"{function['name']}({', '.join(names)})")
    return "\n".join(lines)


def parse_reply(text: str, style: Format, tools: Tools, *, finished: bool = True) -> Parsed:
    """Read the calls in a reply.

    Args:
        text: the reply without its stop sequence.
        style: the format calls must be in.
        tools: the schemas that arguments are checked against.
        finished: False where the reply hit the token limit, so that an open block is ``truncated``.
    """
    calls = []
    for body, closing in _BLOCK[style].findall(text):
        if not closing:
            return Parsed(failure="bad JSON" if finished else "truncated", detail="block is not closed")
        try:
            call = _read(body.strip(), style, tools)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            return Parsed(failure="bad JSON", detail=str(error)[:200])
        if problem := _misfit(call, tools):
            return problem
        calls.append(call)
    if not calls and _BARE.search(text):
        return Parsed(failure="no wrapper", detail=f"looks like a call outside {_OPENING[style].strip()}")
    return Parsed(calls=tuple(calls))


def _read(body: str, style: Format, tools: Tools) -> Call:
    if style == "qwen3-coder":
        import_module("harness.engine")  # loads the fast BLAS, which must be there before mlx_lm loads MLX
        from mlx_lm.tool_parsers.qwen3_coder import parse_tool_call

        if body.count("</function>") != 1:
            raise ValueError("a block holds exactly one function")
        raw = parse_tool_call(body, tools)
    else:
        raw = json.loads(body)
    return Call(name=raw["name"], arguments=raw["arguments"])


def _misfit(call: Call, tools: Tools) -> Parsed | None:
    known = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if call.name not in known:
        return Parsed(failure="unknown tool", detail=f"{call.name!r}; known: {', '.join(known)}")
    import jsonschema  # a tenth of a second that collecting the suites need not spend

    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(known[call.name]).iter_errors(call.arguments)
    )
    return Parsed(failure="bad arguments", detail=error.message[:200]) if error else None
