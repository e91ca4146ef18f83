"""From a model's text to a judged reply, and the controls that prove the gate."""

from typing import get_args

import pytest

from phase8.cases.cases import Case, canonical_cases
from phase8.cases.replies import SYNTHETIC_CONTROLS, read_reply, synthetic_replies
from phase8.chat.formats import Tools
from phase8.gates.replies import Evidence, control
from phase8.profile.limits import Budgets
from phase8.profile.loading import load
from phase8.profile.terms import Format
from phase8.record.run import Finish, Reply
from phase8.regression.completeness import same_prompt
from suites.unit.profiles import prompting
from suites.unit.shipped_tools import TOOLS

CASES = canonical_cases(load("pocket"), TOOLS)
CALL = '```json\n{"name": "read_file", "arguments": {"path": "a.py"}}\n```'


def read(text: str, finish: Finish = "stop", case: Case = CASES[0], stops: tuple[str, ...] = ("<|im_end|>",)) -> Reply:
    """A text as the judge sees it."""
    return read_reply(case, text, (1, 2), finish, (7,) * 10, prompting(stop_sequences=stops), TOOLS)


def test_a_synthetic_control_is_caught_by_the_judge(subtests: pytest.Subtests) -> None:
    """In every format: each run proves that its gate can fail."""
    for name in SYNTHETIC_CONTROLS:
        for style in get_args(Format):
            with subtests.test(style=style, name=name):
                replies = synthetic_replies(name, CASES, prompting(format=style), TOOLS)
                evidence = Evidence(
                    variant=name, role="control", cases=tuple(CASES), replies=tuple(replies), budgets=Budgets()
                )
                assert control(evidence).status == "pass"


def test_a_synthetic_control_does_what_its_name_says(subtests: pytest.Subtests) -> None:
    """A control that is caught for malformed calls would prove nothing."""
    for name, decision in [("always-call", "call"), ("always-direct", "answer")]:
        for style in get_args(Format):
            with subtests.test(style=style, name=name, decision=decision):
                replies = synthetic_replies(name, CASES, prompting(format=style), TOOLS)
                assert {reply.decision for reply in replies} == {decision}


def test_always_call_makes_a_valid_call_from_any_usual_schema(subtests: pytest.Subtests) -> None:
    """Users bring their own tools."""
    for schema in [
        {"type": "string", "enum": ["fast", "slow"]},
        {"type": ["integer", "null"]},
        {"type": "integer", "minimum": 5},
        {"type": "array"},
        {},
    ]:
        with subtests.test(schema=schema):
            parameters = {"type": "object", "properties": {"mode": schema}, "required": ["mode"]}
            tools: Tools = [{"type": "function", "function": {"name": "go", "parameters": parameters}}]
            assert {reply.decision for reply in synthetic_replies("always-call", CASES, prompting(), tools)} == {"call"}


def test_a_call_is_read_with_its_arguments() -> None:
    """A tool query that gets one is right."""
    reply = read(CALL)
    assert (reply.decision, reply.correct, reply.calls[0].arguments) == ("call", True, {"path": "a.py"})


def test_a_stop_sequence_written_as_text_is_cut_off_and_kept() -> None:
    """What follows it is not judged as an answer, and termination sees it."""
    reply = read(f"{CALL}<|im_end|>\nuser\nMore")
    assert (reply.text, reply.after_stop, reply.decision) == (CALL, "<|im_end|>\nuser\nMore", "call")


def test_the_first_of_several_stop_sequences_ends_the_reply() -> None:
    """Whatever their order in the profile; no text is lost."""
    for stops in (("<a>", "<b>"), ("<b>", "<a>")):
        reply = read("x<b>y<a>z", stops=stops)
        assert (reply.text, reply.after_stop) == ("x", "<b>y<a>z")


def test_an_empty_reply_is_not_an_answer(subtests: pytest.Subtests) -> None:
    """It is wrong for every query."""
    for text in ["", " \n\t", "<|im_end|>It depends."]:
        for case in CASES:
            with subtests.test(case=case, text=text):
                reply = read(text, case=case)
                assert (reply.decision, reply.correct) == ("empty", False)


def test_a_malformed_call_is_kept_with_its_failure() -> None:
    """Named, with the detail a person needs."""
    reply = read('```json\n{"name": "rm", "arguments": {}}\n```')
    assert reply.decision == "malformed"
    assert reply.failure == "unknown tool: 'rm'; known: run_command, read_file, list_directory"


def test_a_failure_beside_the_calls_text_is_named_too(subtests: pytest.Subtests) -> None:
    """For a query that wants a call."""
    cases: list[tuple[str, Finish, str | None]] = [
        ("It is a class.", "stop", "no call: it answers where a tool is to be called"),
        ("  ", "stop", "no call: nothing was said"),
        (CALL, "stop", None),
        (CALL, "length", "ran past stop: none in 2 tokens"),
        (f"{CALL}<|im_end|>More", "stop", "ran past stop: it writes on after one"),
    ]
    for text, finish, failure in cases:
        with subtests.test(text=text, finish=finish, failure=failure):
            assert read(text, finish).failure == failure


def test_an_answer_where_one_is_wanted_has_no_failure() -> None:
    """Unless it does not end."""
    direct = next(case for case in CASES if case.label == "direct")
    assert read("It is a class.", case=direct).failure is None
    assert read("It is a class", finish="length", case=direct).failure == "ran past stop: none in 2 tokens"


def test_a_block_that_a_written_stop_sequence_cuts_is_not_excused_by_the_token_limit() -> None:
    """The model ended the call itself, too early."""
    failure = read(f"{CALL[:-4]}<|im_end|>", finish="length").failure
    assert failure is not None
    assert failure.startswith("bad JSON")


@pytest.mark.parametrize("control", SYNTHETIC_CONTROLS)
def test_calls_are_checked_against_the_cases_own_tools(control: str) -> None:
    """A held-out row may bring other tools than the profile's."""
    other: dict = {"type": "function", "function": {"name": "peek", "parameters": {"type": "object"}}}
    case = CASES[0].model_copy(update={"tools": (other,)})
    assert read(CALL, case=case).failure == "unknown tool: 'read_file'; known: peek"
    (reply,) = synthetic_replies(control, [case], prompting(), TOOLS)
    assert [call.name for call in reply.calls] == (["peek"] if control == "always-call" else [])


def test_a_call_cut_by_the_token_limit_is_truncated() -> None:
    """And so no call."""
    reply = read(CALL[:-4], finish="length")
    assert (reply.decision, reply.correct) == ("malformed", False)
    assert reply.failure is not None
    assert reply.failure.startswith("truncated")


@pytest.mark.parametrize(("text", "decision"), [('```json\n{"name": "run_c', "call"), ("A decorator is a", "answer")])
def test_a_probe_cut_at_its_own_limit_is_decided_by_how_it_opens(text: str, decision: str) -> None:
    """It is read no further; the same text cut at the profile's limit is a truncated call."""
    probe = CASES[0].model_copy(update={"suite": "probe", "max_tokens": 2})
    assert probe.label == "tool"
    found = read(text, "length", probe)
    assert found.decision == decision
    assert (found.failure is None) == (decision == "call")
    assert read(text, "length").decision == ("malformed" if decision == "call" else "answer")


def test_a_prompt_is_known_by_its_tokens() -> None:
    """Length and hash; a synthetic control was given none."""
    one, other = (read_reply(CASES[0], "x", (1,), "stop", ids, prompting(), TOOLS) for ids in ((1, 23), (12, 3)))
    assert one.prompt_tokens == other.prompt_tokens == 2
    assert one.prompt_hash != other.prompt_hash
    assert {found.prompt_hash for found in synthetic_replies("always-call", CASES, prompting(), TOOLS)} == {""}


def test_prompts_of_an_older_baseline_are_compared_by_length() -> None:
    """It kept no hash; a run that lost its hashes is not taken for the same."""
    new = read("x")
    old = new.model_copy(update={"prompt_hash": ""})
    assert same_prompt(old, new)
    assert not same_prompt(new, old)
    assert not same_prompt(old.model_copy(update={"prompt_tokens": 9}), new)
