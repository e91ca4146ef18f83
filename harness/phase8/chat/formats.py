"""Tool calls and tool schemas as text.

Three formats: ``fenced`` (a Markdown ``json`` block, as Phase 8 was trained),
``hermes`` (JSON inside ``<tool_call>``) and ``qwen3-coder`` (XML inside
``<tool_call>``). Every call is read back as it is written, so that a value which a
format cannot carry is refused and never changed.
"""

import json
from typing import Any

from phase8.chat.parsing import Call, Failure, Parsed, parse_reply, same_calls
from phase8.chat.tool_schemas import Tools, parameters
from phase8.core.errors import InvalidInput
from phase8.profile.terms import Format

__all__ = [
    "Call",
    "Failure",
    "Parsed",
    "Tools",
    "closing",
    "describe_tools",
    "opening",
    "parse_reply",
    "render_call",
]

_OPENING = {"fenced": "```json\n", "hermes": "<tool_call>\n", "qwen3-coder": "<tool_call>\n<function="}
_CLOSING = {"fenced": "```", "hermes": "</tool_call>", "qwen3-coder": "</tool_call>"}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def opening(style: Format) -> str:
    """The fixed string that every call in this format starts with."""
    return _OPENING[style]


def closing(style: Format) -> str:
    """The fixed string that every call in this format ends with."""
    return _CLOSING[style]


def render_call(call: Call, style: Format, tools: Tools | None = None) -> str:
    """A call as the text of an assistant's reply.

    Args:
        call: what to write.
        style: the format to write it in.
        tools: the schemas it will be read with; without them its values are taken to be of their tool's types.

    Raises:
        InvalidInput: reading the text would give another call, or none; it says why.
    """
    try:
        payload = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False, allow_nan=False)
        payload.encode()  # half a surrogate pair is in no text
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"call of {call.name}: its arguments are no JSON: {error}") from error
    if style == "fenced":
        text = f"```json\n{payload}\n```"
    elif style == "hermes":
        text = f"<tool_call>\n{payload}\n</tool_call>"
    else:
        text = _xml(call)
    read = parse_reply(text, style, tools or [_tool_of(call)])
    if not same_calls(read.calls, (call,)):
        why = f" ({read.failure}: {read.detail})" if read.failure else ""
        raise InvalidInput(f"call {payload}: format {style!r} cannot carry it{why}. Use another format or value.")
    return text


def describe_tools(tools: Tools) -> str:
    """Tool schemas as one short line a tool, for prompts whose template has no place for tools."""
    lines = []
    for tool in tools:
        schema = parameters(tool)
        required = schema.get("required", [])
        names = [n if n in required else f"{n}?" for n in schema.get("properties", {})]
        lines.append(f"{tool['function']['name']}({', '.join(names)})")
    return "\n".join(lines)


def _xml(call: Call) -> str:
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in call.arguments.items()
    }
    inside = "".join(f"<parameter={key}>\n{text}\n</parameter>\n" for key, text in texts.items())
    return f"<tool_call>\n<function={call.name}>\n{inside}</function>\n</tool_call>"


def _tool_of(call: Call) -> dict[str, Any]:
    """A schema whose arguments have the types of this call's."""
    properties = {key: {"type": _TYPES.get(type(value), "null")} for key, value in call.arguments.items()}
    return {"function": {"name": call.name, "parameters": {"type": "object", "properties": properties}}}
