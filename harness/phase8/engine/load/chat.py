"""Conversations as tokens: prompts to answer, and rows to train on with the assistant's tokens marked."""

from dataclasses import dataclass

from mlx_lm.tokenizer_utils import TokenizerWrapper

from phase8.cases.cases import Case
from phase8.chat.tool_schemas import Tools
from phase8.core.errors import InvalidInput
from phase8.engine.load.template import Messages, as_the_template_wants, first, tokens_of
from phase8.profile.sections import Prompting


@dataclass(frozen=True)
class Row:
    """One training conversation: token ids, and for each whether an assistant wrote it."""

    tokens: tuple[int, ...]
    assistant: tuple[bool, ...]


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
    return tokens_of(
        tokenizer, as_the_template_wants(tokenizer, messages, tools, prompting), add_generation_prompt=True
    )


def case_tokens(tokenizer: TokenizerWrapper, case: Case, tools: Tools, prompting: Prompting) -> list[int]:
    """The tokens that ask a case, told of its own tools or else of the profile's ``tools``."""
    told = tools if case.tools is None else list(case.tools)
    return prompt_tokens(tokenizer, list(case.messages), told, prompting)


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
    tokens = tokens_of(tokenizer, whole)
    assistant = [False] * len(tokens)
    for index, message in enumerate(whole.messages):
        if message["role"] != "assistant":
            continue
        before = tokens_of(tokenizer, first(whole, index), add_generation_prompt=True)
        until = tokens_of(tokenizer, first(whole, index + 1))
        if tokens[: len(before)] != before or tokens[: len(until)] != until:
            raise InvalidInput(
                "the chat template rewrites earlier turns; training on every assistant turn is not possible"
            )
        end = max((i + 1 for i in range(len(before), len(until)) if until[i] in stops), default=len(until))
        assistant[len(before) : end] = [True] * (end - len(before))
    return Row(tokens=tuple(tokens), assistant=tuple(assistant))
