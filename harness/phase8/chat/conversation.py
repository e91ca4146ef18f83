"""Conversations for templates that read tools, and for those that do not."""

import re
from typing import Any

from phase8.chat.formats import Call, Tools, describe_tools, parse_reply, render_call
from phase8.chat.parsing import BLOCK, read_json
from phase8.core.errors import InvalidInput
from phase8.profile.terms import Format

Message = dict[str, Any]
# The place of the tools in a system prompt, with the words up to a colon that lead to it.
_PLACE = re.compile(r"(?:[^\n.!?:]*:)?\s*\{tools\}")


def structured_call(call: Any) -> Call:
    """One of a message's ``tool_calls``; arguments may be an object, or JSON text as OpenAI writes them.

    Raises:
        InvalidInput: no name, or arguments that are no JSON object.
    """
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise InvalidInput('expected {"function": {"name": "...", "arguments": {...}}}')
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"function.arguments is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidInput(
            f"function.arguments is {str(arguments)[:60]!r}; expected an object, as such or as JSON text"
        )
    return Call(name=function["name"], arguments=arguments)


def calls_as_structure(message: Message, style: Format, tools: Tools) -> Message:
    """An assistant's message with its calls in ``tool_calls``, arguments as objects.

    Text is left as it is where it has no valid call in this format, or goes on after its first call.
    """
    if calls := message.get("tool_calls"):
        read = [structured_call(call) for call in calls]
        whole = [call | {"function": found.model_dump()} for call, found in zip(calls, read, strict=True)]
        return {**message, "tool_calls": whole}
    text = message.get("content") or ""
    found = parse_reply(text, style, tools).calls if message["role"] == "assistant" else ()
    if not found:
        return message
    before, *between = BLOCK[style].sub("\0", text).split("\0")
    if any(part.strip() for part in between):
        return message
    calls = [{"type": "function", "function": call.model_dump()} for call in found]
    return {**message, "content": before.strip(), "tool_calls": calls}


def calls_as_text(message: Message, style: Format, tools: Tools | None) -> Message:
    """An assistant's message with its ``tool_calls`` written into its content.

    Raises:
        InvalidInput: a call that this format cannot carry or that does not fit ``tools``.
    """
    if not message.get("tool_calls"):
        return message
    written = [render_call(structured_call(call), style, tools) for call in message["tool_calls"]]
    said = (message.get("content") or "").strip()
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return rest | {"content": "\n".join([said, *written] if said else written)}


def without_description(messages: list[Message], tools: Tools, system: str) -> list[Message]:
    """The messages without the tools in the profile's system prompt, for a template that tells of them itself.

    Args:
        messages: the conversation; another system prompt than the profile's is left as it is.
        tools: the schemas that are described in it.
        system: the profile's system prompt with ``{tools}`` in it.
    """
    described = system.replace("{tools}", describe_tools(tools))
    first = messages[0] if messages else {}
    if "{tools}" not in system or first.get("role") != "system" or first.get("content") != described:
        return messages
    bare = _PLACE.sub("", system).strip()
    if not bare and len(messages) > 1:
        return messages[1:]
    return [{**first, "content": bare}, *messages[1:]]


def with_description(messages: list[Message], tools: Tools, system: str) -> list[Message]:
    """The messages with the tools in the system prompt, for a template that ignores them.

    Nothing is added where the profile's system prompt has no ``{tools}``, or the conversation's names every tool.
    """
    place = _PLACE.search(system)
    if not place:
        return messages
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": system.replace("{tools}", describe_tools(tools))}, *messages]
    said = messages[0].get("content") or ""
    if all(tool["function"]["name"] in said for tool in tools):
        return messages
    added = place[0].strip().replace("{tools}", describe_tools(tools))
    return [{**messages[0], "content": f"{said}\n{added}"}, *messages[1:]]
