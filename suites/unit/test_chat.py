"""Conversations as a model's own chat template wants them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from phase8.cases.cases import Case, system_message
from phase8.chat.formats import Call, Tools, parse_reply, render_call
from phase8.core.errors import InvalidInput
from phase8.profile.sections import Prompting
from phase8.profile.terms import Format
from suites.unit.profiles import prompting
from suites.unit.shipped_tools import TOOLS
from suites.unit.templates import HERMES, QWEN3_CODER

if TYPE_CHECKING:
    from mlx_lm.tokenizer_utils import TokenizerWrapper

SYSTEM = "You help with Python. Tools:\n{tools}"
FORMATS: tuple[Format, ...] = get_args(Format)
CALL = Call(name="read_file", arguments={"path": "a b/ü.py", "start": 3})
WRITES: dict[str, Format] = {HERMES: "hermes", QWEN3_CODER: "qwen3-coder"}
# ids of parameters
NAMES = {HERMES: "hermes-template", QWEN3_CODER: "qwen3-coder-template", None: "no-tools-template"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny tokenizer whose template ignores tools."""
    from phase8.engine.train.pocket import train_tokenizer

    out = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["find it in a.py tool_call function parameter name arguments"] * 50, 400, out)
    return out


def tokenizer_of(folder: Path, template: str | None = None) -> "TokenizerWrapper":
    """The tokenizer with another chat template."""
    from phase8.engine.load.tokenizer import read_tokenizer

    tokenizer = read_tokenizer(folder)
    if template:
        tokenizer._tokenizer.chat_template = template
    return tokenizer


def told(style: Format) -> Prompting:
    """A profile's prompting whose system prompt has a place for tools."""
    return prompting(format=style, system=SYSTEM)


def conversation(style: Format, call: Call = CALL, text: str = "") -> list[dict[str, Any]]:
    """A row as the corpus holds it: tools and call as text."""
    return [
        *system_message(told(style), TOOLS),
        {"role": "user", "content": "Show it"},
        {"role": "assistant", "content": text + render_call(call, style, TOOLS)},
        {"role": "tool", "content": "import x"},
        {"role": "assistant", "content": "It imports x."},
    ]


def with_structure(messages: list[dict[str, Any]], arguments: Any) -> list[dict[str, Any]]:
    """The row with its call as data, as other people's files have it."""
    call = {"id": "c1", "type": "function", "function": {"name": CALL.name, "arguments": arguments}}
    return [*messages[:2], {"role": "assistant", "content": None, "tool_calls": [call]}, *messages[3:]]


def learnt(tokenizer: "TokenizerWrapper", messages: list[dict[str, Any]], style: Format) -> tuple[str, list[str]]:
    """The whole row as text, and each assistant turn of it that is trained on."""
    from phase8.engine.load.chat import stop_ids, training_row

    row = training_row(tokenizer, messages, stop_ids(tokenizer, ("<|im_end|>",)), TOOLS, told(style))
    marked = [token for token, mine in zip(row.tokens, row.assistant, strict=True) if mine]
    turns = tokenizer.decode(marked).split("<|im_end|>")
    return tokenizer.decode(list(row.tokens)), turns[:-1]


@pytest.mark.parametrize(("template", "reads"), [(HERMES, True), (QWEN3_CODER, True), (None, False)], ids=NAMES.get)
def test_whether_a_template_reads_tools_is_found_out_by_rendering(
    folder: Path, template: str | None, reads: bool
) -> None:
    """With and without them."""
    from phase8.engine.load.template import template_reads_tools

    assert template_reads_tools(tokenizer_of(folder, template)) is reads


def test_a_template_that_takes_no_system_message_is_asked_without_one(folder: Path) -> None:
    """Some raise an error for it."""
    from phase8.engine.load.template import template_reads_tools

    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    assert template_reads_tools(tokenizer_of(folder, refusing + HERMES))
    assert not template_reads_tools(tokenizer_of(folder, "{{ raise_exception('never') }}"))


@pytest.mark.parametrize("style", FORMATS)
def test_a_row_of_the_corpus_is_the_same_tokens_where_the_template_ignores_tools(folder: Path, style: Format) -> None:
    """Its system prompt and its calls are text already."""
    from phase8.engine.load.chat import prompt_tokens, stop_ids, training_row

    tokenizer, messages = tokenizer_of(folder), conversation(style)
    stops = stop_ids(tokenizer, ("<|im_end|>",))
    assert training_row(tokenizer, messages, stops, TOOLS, told(style)) == training_row(tokenizer, messages, stops)
    whole = list(tokenizer.apply_chat_template(messages[:2], add_generation_prompt=True))
    assert prompt_tokens(tokenizer, messages[:2], TOOLS, told(style)) == whole


@pytest.mark.parametrize("template", WRITES, ids=NAMES.get)
def test_a_template_that_reads_tools_writes_schemas_and_calls_itself(folder: Path, template: str) -> None:
    """Once: the profile's own description is left out, and the call stays the same call."""
    style = WRITES[template]
    whole, turns = learnt(tokenizer_of(folder, template), conversation(style), style)
    assert "<|im_start|>system\nYou help with Python.\nFunctions you may call:\n{" in whole
    assert whole.count("list_directory") == 1
    assert parse_reply(turns[0], style, TOOLS).calls == (CALL,)
    assert turns[1] == "It imports x."


def test_a_call_goes_through_the_template_and_not_as_text(folder: Path) -> None:
    """One that writes JSON in its own way shows which of the two it was."""
    spaced = HERMES.replace("'arguments': f.arguments} | tojson", "'arguments': f.arguments} | tojson(indent=1)")
    _, turns = learnt(tokenizer_of(folder, spaced), conversation("hermes"), "hermes")
    assert '{\n "name": "read_file"' in turns[0]


@pytest.mark.parametrize(
    ("template", "style"), [(HERMES, "fenced"), (HERMES, "qwen3-coder"), (QWEN3_CODER, "hermes"), (None, "hermes")]
)
@pytest.mark.parametrize("as_text", [True, False], ids=["text", "json"])
def test_calls_stay_text_where_the_template_writes_another_format(
    folder: Path, template: str | None, style: Format, as_text: bool
) -> None:
    """The profile's format is what is trained and judged, and the template is not asked to ask for its own.

    Arguments of a user's rows are objects or JSON text.
    """
    arguments = json.dumps(CALL.arguments) if as_text else CALL.arguments
    messages = with_structure(conversation(style), arguments)
    whole, turns = learnt(tokenizer_of(folder, template), messages, style)
    assert turns[0] == render_call(CALL, style, TOOLS)
    assert "run_command(command)" in whole  # told as text
    assert "additionalProperties" not in whole


@pytest.mark.parametrize("template", WRITES, ids=NAMES.get)
def test_a_users_structured_call_is_the_same_tokens_as_that_call_as_text(folder: Path, template: str) -> None:
    """Whichever way a row came, the model sees one thing."""
    style, tokenizer = WRITES[template], tokenizer_of(folder, template)
    messages = conversation(style)
    assert learnt(tokenizer, with_structure(messages, CALL.arguments), style) == learnt(tokenizer, messages, style)


def test_a_call_that_the_template_would_change_stays_text(folder: Path) -> None:
    """Python's spelling of a nested list is no JSON: that one call is written by us, and reads back."""
    schema = {"type": "object", "properties": {"paths": {"type": "array", "items": {"type": "string"}}}}
    tools: Tools = [{"type": "function", "function": {"name": "look", "parameters": schema}}]
    call = Call(name="look", arguments={"paths": ["it's", "b"]})
    from phase8.engine.load.template import as_the_template_wants

    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": render_call(call, "qwen3-coder")}]
    given = as_the_template_wants(tokenizer_of(folder, QWEN3_CODER), messages, tools, told("qwen3-coder"))
    assert given.messages == messages
    assert given.tools == tools


def test_a_row_with_tools_has_them_described_where_the_template_ignores_them(folder: Path) -> None:
    """With the profile's system prompt, or after the row's own; never twice, and not where a profile has no place."""
    from phase8.engine.load.template import as_the_template_wants

    tokenizer, user = tokenizer_of(folder), {"role": "user", "content": "Hi"}
    own = {"role": "system", "content": "Be brief."}
    (system, _) = as_the_template_wants(tokenizer, [user], TOOLS, told("fenced")).messages
    assert system == system_message(told("fenced"), TOOLS)[0]
    (system, _) = as_the_template_wants(tokenizer, [own, user], TOOLS, told("fenced")).messages
    assert system["content"].startswith("Be brief.\nTools:\nrun_command(command)\n")
    again = as_the_template_wants(tokenizer, [system, user], TOOLS, told("fenced"))
    assert again.messages == [system, user]
    assert as_the_template_wants(tokenizer, [own, user], TOOLS, prompting(system="Hi")).messages == [own, user]


def test_a_row_that_tells_of_no_tools_is_left_as_it_is(folder: Path) -> None:
    """Nothing is told that the row does not tell."""
    from phase8.engine.load.template import as_the_template_wants

    user = {"role": "user", "content": "Hi"}
    for template in (HERMES, None):
        given = as_the_template_wants(tokenizer_of(folder, template), [user], None, told("hermes"))
        assert (given.messages, given.tools) == ([user], [])


@pytest.mark.parametrize(("own", "named"), [(None, "read_file"), ((), None), (tuple(TOOLS[2:]), "list_directory")])
def test_a_case_is_told_of_its_own_tools(folder: Path, own: tuple[dict, ...] | None, named: str | None) -> None:
    """Of the profile's where it says nothing of any."""
    from phase8.engine.load.chat import case_tokens

    tokenizer = tokenizer_of(folder, HERMES)
    message = {"role": "user", "content": "Hi"}
    case = Case(id="a", suite="held-out", turn=1, label="direct", query="Hi", messages=(message,), tools=own)
    text = tokenizer.decode(case_tokens(tokenizer, case, TOOLS[1:2], told("hermes")))
    assert [name for name in ("read_file", "list_directory") if name in text] == ([named] if named else [])


def test_a_split_is_read_with_the_tools_of_its_rows(folder: Path, tmp_path: Path) -> None:
    """A call that the format cannot carry is refused with its line."""
    from phase8.engine.load.rows import read_split

    good = {"messages": conversation("hermes"), "tools": TOOLS}
    bad = {"messages": with_structure(good["messages"], {"path": "</tool_call>"}), "tools": TOOLS}
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(good) + "\n")
    assert len(read_split(folder, path, told("hermes"))) == 1
    path.write_text("\n".join(map(json.dumps, (good, bad))))
    with pytest.raises(InvalidInput, match="train.jsonl:2: call .*'hermes' cannot carry it"):
        read_split(folder, path, told("hermes"))
