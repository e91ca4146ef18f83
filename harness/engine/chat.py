"""Conversations as tokens: prompts to answer, and rows to train on with the assistant's tokens marked.

What a model's chat template does with tools is found out by rendering: one that reads them is given schemas and calls
as data, one that ignores them is given both as text.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_tokenizer

from harness.cases import Case
from harness.conversation import (
    calls_as_structure,
    calls_as_text,
    structured_call,
    with_description,
    without_description,
)
from harness.errors import InvalidInput
from harness.formats import Tools, parse_reply
from harness.parsing import same_calls
from harness.profile import Format, Prompting

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One training conversation: token ids, and for each whether an assistant wrote it."""

    tokens: tuple[int, ...]
    assistant: tuple[bool, ...]


def read_tokenizer(folder: Path) -> TokenizerWrapper:
    """The tokenizer of a model folder, never with remote code.

    Raises:
        InvalidInput: no tokenizer there, an unreadable one, or one without a chat template.
    """
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer.model").is_file():
        raise InvalidInput(
            f"{folder}: no tokenizer.json or tokenizer.model. Copy the base model's tokenizer files there"
        )
    try:
        tokenizer = load_tokenizer(folder, {"trust_remote_code": False})
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder}: the tokenizer cannot be read: {error}") from error
    if not tokenizer.has_chat_template:
        raise InvalidInput(f"{folder}: the tokenizer has no chat template. Add chat_template to tokenizer_config.json")
    return tokenizer


@dataclass(frozen=True)
class Conversation:
    """Messages and tools as a chat template is given them."""

    messages: Messages
    tools: Tools


def prompt_tokens(
    tokenizer: TokenizerWrapper, messages: Messages, tools: Tools | None = None, prompting: Prompting | None = None
) -> list[int]:
    """The tokens of a conversation up to where the assistant begins to write.

    Args:
        tokenizer: with the chat template.
        messages: the conversation so far.
        tools: the schemas it tells of.
        prompting: how calls are written; without it the messages are taken as they are.

    Raises:
        InvalidInput: a call that the profile's format cannot carry.
    """
    return _tokens(tokenizer, as_the_template_wants(tokenizer, messages, tools, prompting), add_generation_prompt=True)


def case_tokens(tokenizer: TokenizerWrapper, case: Case, tools: Tools, prompting: Prompting) -> list[int]:
    """The tokens that ask a case, told of its own tools or else of the profile's ``tools``."""
    told = tools if case.tools is None else list(case.tools)
    return prompt_tokens(tokenizer, list(case.messages), told, prompting)


def as_the_template_wants(
    tokenizer: TokenizerWrapper, messages: Messages, tools: Tools | None, prompting: Prompting | None
) -> Conversation:
    """A conversation with its schemas and calls as data where the template reads them, else as text.

    Calls are data only where the template writes each in the profile's format, so that it reads back as it was.

    Raises:
        InvalidInput: a call that the profile's format cannot carry.
    """
    if prompting is None:
        return Conversation(messages, tools or [])
    style, read = prompting.format, bool(tools) and template_reads_tools(tokenizer)
    if tools and read:
        messages = without_description(messages, tools, prompting.system)
        structured = Conversation([calls_as_structure(message, style, tools) for message in messages], tools)
        if _calls_read_back(tokenizer, structured, style):
            return structured
    elif tools:
        messages = with_description(messages, tools, prompting.system)
    return Conversation([calls_as_text(m, style, tools) for m in messages], tools if tools and read else [])


@lru_cache(maxsize=8)
def template_reads_tools(tokenizer: TokenizerWrapper) -> bool:
    """Whether the chat template renders another text where it is given tools."""
    tool = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
    told, user = {"role": "system", "content": "Help."}, {"role": "user", "content": "Hi"}
    for messages in ([told, user], [user]):  # some templates refuse a system message
        try:
            if _text(tokenizer, Conversation(messages, [tool])) != _text(tokenizer, Conversation(messages, [])):
                return True
        except (TemplateError, TypeError):
            continue
    return False


def stop_ids(tokenizer: TokenizerWrapper, stop_sequences: tuple[str, ...]) -> set[int]:
    """The single tokens that are stop sequences.

    Raises:
        InvalidInput: a stop sequence that is no single token, which no reply could be trained to end with.
    """
    ids = set()
    for text in stop_sequences:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        if len(tokens) != 1:
            raise InvalidInput(
                f"prompting.stop_sequences: {text!r} is {len(tokens)} tokens in this tokenizer; it must be one. "
                f"The tokenizer's own end token is {tokenizer.eos_token!r}"
            )
        ids.add(tokens[0])
    return ids


def text_row(tokenizer: TokenizerWrapper, text: str) -> Row:
    """Plain text outside any conversation, every token of it to be learnt."""
    tokens = tuple(tokenizer.encode(text, add_special_tokens=False))
    return Row(tokens=tokens, assistant=(True,) * len(tokens))


def training_row(
    tokenizer: TokenizerWrapper,
    messages: Messages,
    stops: set[int],
    tools: Tools | None = None,
    prompting: Prompting | None = None,
) -> Row:
    """A whole conversation with every assistant turn marked, from its first token to its stop token.

    Args:
        tokenizer: with the chat template.
        messages: the conversation.
        stops: the tokens that end a reply.
        tools: the schemas it tells of.
        prompting: how calls are written; without it the messages are taken as they are.

    Raises:
        InvalidInput: the chat template rewrites earlier turns, so no turn can be found in the whole; a call that
            the profile's format cannot carry.
    """
    whole = as_the_template_wants(tokenizer, messages, tools, prompting)
    tokens = _tokens(tokenizer, whole)
    assistant = [False] * len(tokens)
    for index, message in enumerate(whole.messages):
        if message["role"] != "assistant":
            continue
        before = _tokens(tokenizer, _first(whole, index), add_generation_prompt=True)
        until = _tokens(tokenizer, _first(whole, index + 1))
        if tokens[: len(before)] != before or tokens[: len(until)] != until:
            raise InvalidInput(
                "the chat template rewrites earlier turns; training on every assistant turn is not possible"
            )
        end = max((i + 1 for i in range(len(before), len(until)) if until[i] in stops), default=len(until))
        assistant[len(before) : end] = [True] * (end - len(before))
    return Row(tokens=tuple(tokens), assistant=tuple(assistant))


def _calls_read_back(tokenizer: TokenizerWrapper, whole: Conversation, style: Format) -> bool:
    """Whether the template writes every call of a conversation as this format is read."""
    for index, message in enumerate(whole.messages):
        if not message.get("tool_calls"):
            continue
        try:
            before = _text(tokenizer, _first(whole, index), add_generation_prompt=True)
            until = _text(tokenizer, _first(whole, index + 1))
        except (TemplateError, TypeError):  # it wants ids, say, or has no place for calls
            return False
        read = parse_reply(until[len(before) :], style, whole.tools).calls if until.startswith(before) else ()
        if not same_calls(read, [structured_call(call) for call in message["tool_calls"]]):
            return False
    return True


def _first(whole: Conversation, count: int) -> Conversation:
    return Conversation(whole.messages[:count], whole.tools)


def _text(tokenizer: TokenizerWrapper, whole: Conversation, **options: bool) -> str:
    return str(tokenizer.apply_chat_template(whole.messages, tokenize=False, **_given(whole), **options))


def _tokens(tokenizer: TokenizerWrapper, whole: Conversation, **options: bool) -> list[int]:
    return list(tokenizer.apply_chat_template(whole.messages, **_given(whole), **options))


def _given(whole: Conversation) -> dict[str, Any]:
    return {"tools": whole.tools} if whole.tools else {}
