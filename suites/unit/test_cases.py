"""Cases: what is asked, and where its label comes from."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from phase8.cases.cases import canonical_cases, held_out_cases, probe_cases, read_tools, system_message
from phase8.chat.formats import Call, render_call
from phase8.core.errors import InvalidInput
from phase8.profile.loading import load
from suites.unit.profiles import located, prompting
from suites.unit.shipped_tools import TOOLS

CALL = '```json\n{"name": "read_file", "arguments": {"path": "a.py"}}\n```'
QUERY = '{"id": "a", "query": "Where?", "label": "tool"}'


def turns(*contents: str) -> list[dict[str, Any]]:
    """A conversation: user, assistant, and then tool and assistant in turn."""
    roles = ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]


def rows(folder: Path, *conversations: list[dict[str, Any]]) -> Path:
    """A file of held-out rows."""
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in conversations))
    return path


def test_a_held_out_label_is_what_the_row_itself_does(tmp_path: Path) -> None:
    """As text in the profile's format, or as structured calls."""
    structured = turns("Where?", "")
    structured[1] |= {"content": None, "tool_calls": [{"function": {"name": "read_file", "arguments": "{}"}}]}
    path = rows(tmp_path, turns("Show a.py", CALL), turns("What is it?", "A file."), structured)
    assert [case.label for case in held_out_cases(path, "fenced", TOOLS, 1)] == ["tool", "direct", "tool"]


def test_a_row_whose_call_is_malformed_is_refused(tmp_path: Path) -> None:
    """Labelled as a direct answer it would ask for the opposite of what it shows."""
    path = rows(tmp_path, turns("Hi", "Hello"), turns("Show a.py", CALL))
    with pytest.raises(
        InvalidInput, match="conversation 2: .*none in format 'hermes': wrong wrapper.*prompting.format"
    ):
        held_out_cases(path, "hermes", TOOLS, 1)


def test_a_case_ends_before_the_reply_it_asks_for(tmp_path: Path) -> None:
    """The model never sees the answer."""
    system = {"role": "system", "content": "Help."}
    (case,) = held_out_cases(rows(tmp_path, [system, *turns("Where?", "There.")]), "fenced", TOOLS, 1)
    assert case.messages == (system, {"role": "user", "content": "Where?"})
    assert case.query == "Where?"


def test_a_second_turn_asks_for_the_answer_to_a_tools_result(tmp_path: Path) -> None:
    """After call and result, a direct answer is right."""
    path = rows(tmp_path, turns("Show a.py", CALL, "import x", "It imports x."))
    first, second = held_out_cases(path, "fenced", TOOLS, 5)
    assert (first.turn, first.label, second.turn, second.label) == (1, "tool", 2, "direct")
    assert [message["role"] for message in second.messages] == ["user", "assistant", "tool"]


def test_a_row_that_calls_again_is_no_second_turn(tmp_path: Path) -> None:
    """There an answer would be wrong; and a call without a result cannot be gone on from."""
    path = rows(tmp_path, turns("Q", CALL, "nothing", CALL, "import x", "It imports x."), turns("Q", CALL))
    assert [case.turn for case in held_out_cases(path, "fenced", TOOLS, 5)] == [1, 1]


def test_second_turns_are_spread_evenly(tmp_path: Path) -> None:
    """Not the first few of the file."""
    path = rows(tmp_path, *[turns("Q", CALL, "x", "X.")] * 10)
    found = [case.id for case in held_out_cases(path, "fenced", TOOLS, 2) if case.turn == 2]
    assert found == ["row-000", "row-005"]


def test_the_shipped_canonical_queries_are_the_five(tmp_path: Path) -> None:
    """Three for a tool and two for an answer, asked with the profile's system prompt."""
    found = canonical_cases(load("smollm2"), TOOLS)
    assert [case.label for case in found] == ["tool", "tool", "direct", "tool", "direct"]
    assert all(case.messages[0]["role"] == "system" and case.suite == "canonical" for case in found)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "json"),
        ('{"id": "b", "query": "Where?"}', "label"),
        ('{"id": "b", "query": "Where?", "label": "call"}', "label"),
        ('{"id": "b", "query": "Where?", "label": "tool", "note": "x"}', "note"),
    ],
)
def test_a_faulty_line_of_a_query_file_is_named(tmp_path: Path, line: str, fault: str) -> None:
    """File and line, blank lines counted."""
    (tmp_path / "canonical.jsonl").write_text(f"{QUERY}\n\n{line}\n")
    with pytest.raises(InvalidInput, match=f"(?is)canonical.jsonl:3: .*{fault}"):
        canonical_cases(located(tmp_path), TOOLS)


def test_a_query_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "canonical.jsonl").write_bytes(b'{"id": "\xff", "query": "Where?", "label": "tool"}\n')
    with pytest.raises(InvalidInput, match="canonical.jsonl:1: "):
        canonical_cases(located(tmp_path), TOOLS)


@pytest.mark.parametrize(("text", "fault"), [("\n", "no queries"), (f"{QUERY}\n{QUERY}\n", "an id is used twice")])
def test_a_query_file_that_cannot_be_judged_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """Empty, or with cases that cannot be told apart."""
    (tmp_path / "canonical.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=fault):
        canonical_cases(located(tmp_path), TOOLS)


PROBES = ("[prompting]", '[queries]\nprobes = "mine.jsonl"\n[prompting]')
PROBE = {"id": "slots-tool", "query": "Where?", "label": "tool", "category": "contrast-tool", "reason": "A place."}


def test_a_profile_without_probes_asks_none(tmp_path: Path) -> None:
    """The user's own models need none."""
    assert probe_cases(located(tmp_path), TOOLS) == []


def test_a_contrast_pair_is_one_group(tmp_path: Path) -> None:
    """Its halves share their noun, so they are resampled together; any other probe stands alone."""
    others = [{"id": "slots-direct", "label": "direct"}, {"id": "tabs", "label": "direct"}]
    lines = [json.dumps(PROBE | other) for other in ({}, *others)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    found = probe_cases(located(tmp_path, PROBES), TOOLS)
    assert [(case.suite, case.turn, case.group) for case in found] == [
        ("probe", 1, "slots"),
        ("probe", 1, "slots"),
        ("probe", 1, "tabs"),
    ]
    assert {case.category for case in found} == {"contrast-tool"}


@pytest.mark.parametrize("key", ["category", "reason", "label", "query"])
def test_a_faulty_line_of_a_probe_file_is_named(tmp_path: Path, key: str) -> None:
    """A probe without a category or a reason cannot be reported or checked."""
    broken = {name: value for name, value in PROBE.items() if name != key}
    (tmp_path / "mine.jsonl").write_text(f"{json.dumps(PROBE)}\n{json.dumps(broken | {'id': 'b'})}\n")
    with pytest.raises(InvalidInput, match=f"(?s)mine.jsonl:2: not a query with id, query, label.*{key}"):
        probe_cases(located(tmp_path, PROBES), TOOLS)


def test_the_shipped_probes_are_many_balanced_and_whole() -> None:
    """At least 120, both labels, eight of every category, both halves of every contrast pair."""
    found = probe_cases(load("smollm2"), TOOLS)
    labels = Counter(case.label for case in found)
    assert len(found) >= 120
    assert 60 <= labels["tool"] <= 66
    assert min(Counter(case.category for case in found).values()) >= 8
    pairs = Counter(case.group for case in found if case.category.startswith("contrast"))
    assert set(pairs.values()) == {2}


def test_no_two_shipped_queries_share_an_id() -> None:
    """Reports find a reply by the id of its case."""
    profile = load("smollm2")
    ids = [case.id for case in (*canonical_cases(profile, TOOLS), *probe_cases(profile, TOOLS))]
    assert len(ids) == len(set(ids))


def origin(row: int, split: str = "test", **overrides: Any) -> str:
    """A line of ``provenance.jsonl``."""
    told = {"split": split, "row": row, "group": "Paginator", "provenance": {"phrasing": "class-mentions"}}
    return json.dumps(told | overrides) + "\n"


def test_topic_and_phrasing_come_from_the_provenance_beside_the_rows(tmp_path: Path) -> None:
    """Of the test split alone; a hand-written row shares its phrasing with no other."""
    path = rows(tmp_path, turns("Q", CALL, "x", "X."), turns("What?", "That."))
    hand: dict[str, Any] = {"group": "orm", "provenance": {"phrasing": "hand-written"}}
    told = origin(0, "train", group="other") + origin(0, unseen_phrasing=True) + origin(1, **hand)
    (tmp_path / "provenance.jsonl").write_text(told)
    mined, written, second = held_out_cases(path, "fenced", TOOLS, 1)
    assert (mined.group, mined.phrasing, mined.unseen) == ("Paginator", "class-mentions", True)
    assert (written.group, written.phrasing, written.unseen) == ("orm", "", False)
    assert (second.turn, second.group) == (2, "Paginator")


def test_a_query_made_elsewhere_is_a_group_of_its_own(tmp_path: Path) -> None:
    """Nothing is known about what it shares with others; the same one again, however spaced, is no second witness."""
    asked = [turns(query, "A.") for query in ("Q", "R", "q ")]
    found = held_out_cases(rows(tmp_path, *asked), "fenced", TOOLS, 1)
    assert [(case.id, case.group, case.phrasing, case.unseen) for case in found] == [
        ("row-000", "row-000", "", False),
        ("row-001", "row-001", "", False),
        ("row-002", "row-000", "", False),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (origin(0) + "{", "provenance.jsonl:2: not the origin of a row"),
        ('{"split": "test", "row": 0}\n', "provenance.jsonl:1: not the origin of a row: KeyError"),
        (origin(0), "provenance.jsonl: row 1 of the test split is missing"),
    ],
)
def test_a_provenance_that_does_not_fit_its_rows_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """It is from another build, or damaged."""
    path = rows(tmp_path, turns("Q", "A."), turns("Q", "A."))
    (tmp_path / "provenance.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=fault):
        held_out_cases(path, "fenced", TOOLS, 1)


@pytest.mark.parametrize("text", ["[]", "{}", "{", "[1]", '[{"function": {"name": "x"}}]', "\ufeff", "[" * 99999])
def test_a_file_without_tool_schemas_is_refused(tmp_path: Path, text: str) -> None:
    """A model that knows no tool cannot be asked to call one."""
    (tmp_path / "tools.json").write_text(text)
    with pytest.raises(InvalidInput, match="not a list of function schemas"):
        read_tools(located(tmp_path))


def test_a_case_file_that_is_nowhere_is_named_with_both_places(tmp_path: Path) -> None:
    """Beside the profile and among the shipped ones."""
    profile = located(tmp_path, ("[prompting]", '[queries]\ncanonical = "none.jsonl"\n[prompting]'))
    with pytest.raises(InvalidInput, match="none.jsonl is neither beside the profile nor in"):
        canonical_cases(profile, TOOLS)


def test_the_system_message_describes_the_tools() -> None:
    """Optional arguments are marked; a profile without a system prompt gets no message."""
    (message,) = system_message(prompting(system="Tools:\n{tools}"), TOOLS)
    assert "read_file(path, start?, end?)" in message["content"]
    assert system_message(prompting(), TOOLS) == []


def test_the_shipped_tools_are_what_a_profile_is_given() -> None:
    """Judged on the way."""
    assert read_tools(load("pocket")) == TOOLS


def test_the_call_of_these_tests_is_written_as_a_model_writes_it() -> None:
    """Spelt out above, so that nothing is rendered when tests are collected."""
    assert render_call(Call(name="read_file", arguments={"path": "a.py"}), "fenced") == CALL
