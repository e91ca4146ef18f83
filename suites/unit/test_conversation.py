"""Calls and tools moved between text and data."""

from typing import get_args

import pytest

from phase8.cases.cases import system_message
from phase8.chat.conversation import calls_as_structure, calls_as_text, without_description
from phase8.chat.formats import Call, render_call
from phase8.core.errors import InvalidInput
from phase8.profile.terms import Format
from suites.unit.profiles import prompting
from suites.unit.shipped_tools import TOOLS

CALL, OTHER = (Call(name="read_file", arguments={"path": path}) for path in ("a.py", "b.py"))
USER = {"role": "user", "content": "Hi"}


def said(text: str) -> dict:
    """An assistant's message."""
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize("style", get_args(Format))
def test_calls_go_from_text_to_data_and_back(style: Format) -> None:
    """Prose before them, and their order, stay."""
    text = f"Let me see.\n{render_call(CALL, style)}\n{render_call(OTHER, style)}"
    data = calls_as_structure(said(text), style, TOOLS)
    assert data["content"] == "Let me see."
    assert [call["function"] for call in data["tool_calls"]] == [CALL.model_dump(), OTHER.model_dump()]
    assert calls_as_text(data, style, TOOLS) == said(text)


def test_text_that_data_could_not_hold_stays_text(subtests: pytest.Subtests) -> None:
    """Nothing that was said is lost."""
    for role, text in [
        ("assistant", "It is a class."),
        ("assistant", ""),
        ("assistant", "CALL\nThat should do."),
        ("assistant", "CALL\nand\nOTHER"),
        ("assistant", "<tool_call>broken"),
        ("user", "CALL"),
    ]:
        with subtests.test(role=role, text=text):
            for name, call in (("CALL", CALL), ("OTHER", OTHER)):
                text = text.replace(name, render_call(call, "hermes"))
            message = {"role": role, "content": text}
            assert calls_as_structure(message, "hermes", TOOLS) == message


def test_other_keys_of_a_users_message_stay() -> None:
    """A template may want the ids; arguments become an object."""
    function = {"name": "read_file", "arguments": '{"path": "a.py"}'}
    message = {"role": "assistant", "name": "x", "tool_calls": [{"id": "c1", "function": function}]}
    found = calls_as_structure(message, "hermes", TOOLS)
    assert found == {**message, "tool_calls": [{"id": "c1", "function": CALL.model_dump()}]}


def test_a_users_call_that_does_not_fit_its_schema_is_not_written_down() -> None:
    """It would be trained on as a call that nothing can execute."""
    message = {"role": "assistant", "tool_calls": [{"function": {"name": "read_file", "arguments": {}}}]}
    with pytest.raises(InvalidInput, match="bad arguments: 'path' is a required property"):
        calls_as_text(message, "hermes", TOOLS)


def test_a_description_is_left_out_with_the_words_that_lead_to_it(subtests: pytest.Subtests) -> None:
    """What is left reads as it did; a prompt that was nothing else goes."""
    for system, left in [
        ("You help with Python. Tools:\n{tools}", "You help with Python."),
        ("Call these tools:\n{tools}\nBe brief.", "Be brief."),
        ("Use {tools} or answer.", "Use or answer."),
        ("Help!\n\nYou have:\n\n{tools}", "Help!"),
        ("{tools}", None),
        ("Be brief.", "Be brief."),
    ]:
        with subtests.test(system=system, left=left):
            messages = [*system_message(prompting(system=system), TOOLS), USER]
            expected = [{"role": "system", "content": left}, USER] if left else [USER]
            assert without_description(messages, TOOLS, system) == expected


def test_another_system_prompt_than_the_profiles_is_left_as_it_is() -> None:
    """A user's rows bring their own."""
    messages = [{"role": "system", "content": "Tools: read_file"}, USER]
    assert without_description(messages, TOOLS, "Tools:\n{tools}") == messages
