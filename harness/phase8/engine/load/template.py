"""What a model's chat template does with tools, and conversations as it wants them.

It is found out by rendering: a template that reads tools is given schemas and calls as data, one that ignores them is
given both as text.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from mlx_lm.tokenizer_utils import TokenizerWrapper

from phase8.chat.conversation import (
    calls_as_structure,
    calls_as_text,
    structured_call,
    with_description,
    without_description,
)
from phase8.chat.formats import Tools, parse_reply
from phase8.chat.parsing import same_calls
from phase8.profile.sections import Prompting
from phase8.profile.terms import Format

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Conversation:
    """Messages and tools as a chat template is given them."""

    messages: Messages
    tools: Tools


def as_the_template_wants(
    tokenizer: TokenizerWrapper, messages: Messages, tools: Tools | None, prompting: Prompting | None
) -> Conversation:
    """A conversation with its schemas and calls as data where the template speaks the profile's format, else as text.

    A template that asks for calls in another format would contradict what the model is trained on.
    Calls are data only where the template writes each of them so that it reads back as it was.

    Raises:
        InvalidInput: a call that the profile's format cannot carry.
    """
    if prompting is None:
        return Conversation(messages, tools or [])
    style = prompting.format
    read = bool(tools) and template_speaks(tokenizer, style)
    if tools and read:
        messages = without_description(messages, tools, prompting.system)
        structured = Conversation([calls_as_structure(message, style, tools) for message in messages], tools)
        if _calls_read_back(tokenizer, structured, style):
            return structured
    elif tools:
        messages = with_description(messages, tools, prompting.system)
    return Conversation([calls_as_text(m, style, tools) for m in messages], tools if tools and read else [])


_LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
    },
}


@lru_cache(maxsize=8)
def template_reads_tools(tokenizer: TokenizerWrapper) -> bool:
    """Whether the chat template renders another text where it is given tools."""
    told, user = {"role": "system", "content": "Help."}, {"role": "user", "content": "Hi"}
    for messages in ([told, user], [user]):  # some templates refuse a system message
        try:
            if _text(tokenizer, Conversation(messages, [_LOOK])) != _text(tokenizer, Conversation(messages, [])):
                return True
        except (TemplateError, TypeError):
            continue
    return False


@lru_cache(maxsize=8)
def template_speaks(tokenizer: TokenizerWrapper, style: Format) -> bool:
    """Whether the chat template reads tools and writes a call in this format."""
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "once"}}}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    return template_reads_tools(tokenizer) and _calls_read_back(tokenizer, Conversation(messages, [_LOOK]), style)


def _calls_read_back(tokenizer: TokenizerWrapper, whole: Conversation, style: Format) -> bool:
    """Whether the template writes every call of a conversation as this format is read."""
    for index, message in enumerate(whole.messages):
        if not message.get("tool_calls"):
            continue
        try:
            before = _text(tokenizer, first(whole, index), add_generation_prompt=True)
            until = _text(tokenizer, first(whole, index + 1))
        except (TemplateError, TypeError):  # it wants ids, say, or has no place for calls
            return False
        read = parse_reply(until[len(before) :], style, whole.tools).calls if until.startswith(before) else ()
        if not same_calls(read, [structured_call(call) for call in message["tool_calls"]]):
            return False
    return True


def first(whole: Conversation, count: int) -> Conversation:
    """The first messages of a conversation."""
    return Conversation(whole.messages[:count], whole.tools)


def _text(tokenizer: TokenizerWrapper, whole: Conversation, **options: bool) -> str:
    return str(tokenizer.apply_chat_template(whole.messages, tokenize=False, **_given(whole), **options))


def tokens_of(tokenizer: TokenizerWrapper, whole: Conversation, **options: bool) -> list[int]:
    """What the chat template makes of a conversation."""
    return list(tokenizer.apply_chat_template(whole.messages, **_given(whole), **options))


def _given(whole: Conversation) -> dict[str, Any]:
    return {"tools": whole.tools} if whole.tools else {}
