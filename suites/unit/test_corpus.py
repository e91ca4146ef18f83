"""The corpus has exact sizes, executed results, true answers and no leaks between splits."""

import hashlib
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from phase8.chat.formats import Call, parse_reply
from phase8.core.errors import InvalidInput
from phase8.corpus import pool as corpus
from phase8.corpus.checks.leakage import measure, require_none
from phase8.corpus.mining.direct_answers import first_sentence, hand_written
from phase8.corpus.mining.example import Example, Provenance
from phase8.corpus.mining.templates import read_phrasings
from phase8.corpus.pool import Splits
from phase8.corpus.sources import distributions as sources
from phase8.corpus.sources.distributions import Sources
from phase8.corpus.split import select as selection
from phase8.corpus.split.decontamination import HeldBack, is_held_back
from phase8.corpus.split.pruning import CANONICAL as ABOUT_CANONICAL
from phase8.corpus.split.pruning import DUPLICATE, NEAR_PROBE, OUTSIDE, REASONS, ROW, UNSEEN
from phase8.corpus.split.quotas import NAMES, quotas
from phase8.corpus.tools.run import is_cut, run
from phase8.profile.sections import MinedCorpus, Prompting
from suites.unit.examples import direct
from suites.unit.shipped_tools import TOOLS

MINED = MinedCorpus(
    kind="mined",
    distributions=("Flask", "Sphinx"),
    examples=683,
    tool_share=0.707,
    row_tokens=128,
    system_tokens=48,
    call_tokens=48,
    answer_tokens=48,
    seed=8,
)
PROMPTING = Prompting(format="fenced", system="Tools:\n{tools}", stop_sequences=("<|im_end|>",), max_tokens=48)


@cache
def held_back_queries() -> dict[str, HeldBack]:
    """The queries that no training row may be near."""
    return selection.queries_held_back()


@pytest.fixture(scope="module")
def mined() -> Sources:
    """Flask and Sphinx, as installed."""
    return sources.read(MINED.distributions)


@pytest.fixture(scope="module")
def pool(mined: Sources) -> list[Example]:
    """All candidates."""
    return corpus.pool(MINED, PROMPTING, mined)


@pytest.fixture(scope="module")
def splits(pool: list[Example]) -> Splits:
    """The chosen examples, where everything fits."""
    return selection.select(pool, MINED, PROMPTING, TOOLS, lambda messages: None, held_back_queries())


def example(query: str, **changes: object) -> Example:
    """A small direct example."""
    origin = Provenance(distribution="Shop", version="1", file="a.py", line=1, symbol="a", phrasing="p")
    fields = {"id": query, "kind": "direct", "group": query, "query": query, "answer": "Yes.", "provenance": origin}
    return Example.model_validate(fields | changes)


def everything(splits: Splits) -> list[Example]:
    """The examples of all splits."""
    return [*splits.train, *splits.valid, *splits.test]


def test_the_splits_do_not_leak(splits: Splits) -> None:
    """Measured on what was chosen, by code that took no part in choosing."""
    require_none(measure(splits.by_name, held_back_queries(), splits.unseen))


def test_683_examples_are_split_as_the_record_says(splits: Splits) -> None:
    """546 to train on, 68 to validate, 69 to test."""
    assert [len(getattr(splits, name)) for name in NAMES] == [546, 68, 69]


def test_the_tool_share_is_the_same_in_every_split(splits: Splits) -> None:
    """Exact in total, within one example in each split."""
    tools = {name: sum(e.kind == "tool" for e in getattr(splits, name)) for name in NAMES}
    assert sum(tools.values()) == round(683 * 0.707)
    assert all(abs(tools[name] - len(getattr(splits, name)) * 0.707) <= 1 for name in NAMES)


def test_the_quotas_add_up(subtests: pytest.Subtests) -> None:
    """For every size that a profile may ask for."""
    for examples in range(600, 801, 7):
        with subtests.test(examples=examples):
            wanted = quotas(examples, 0.7)
            assert sum(quota.tool for quota in wanted.values()) == round(examples * 0.7)
            assert sum(quota.tool + quota.direct for quota in wanted.values()) == examples


def test_a_topic_is_in_one_split_only(splits: Splits) -> None:
    """Otherwise the held-out split would ask what was trained on."""
    groups = [{e.group for e in getattr(splits, name)} for name in NAMES]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_no_query_is_asked_twice(splits: Splits) -> None:
    """Case and closing punctuation do not make a new query."""
    queries = Counter(e.query.casefold().strip(" ?.!") for e in everything(splits))
    assert max(queries.values()) == 1


def test_no_canonical_query_is_in_the_corpus(splits: Splits) -> None:
    """Nor anything about UserSerializer or the other topics."""
    said = [f"{e.query} {e.call} {e.answer}".casefold() for e in everything(splits)]
    for held_back in ("userserializer", "view functions", "dependency injection", "await ", "raw sql"):
        assert not [text for text in said if held_back in text]


def test_a_near_copy_of_a_canonical_query_is_held_back(subtests: pytest.Subtests) -> None:
    """The same thing asked in other words."""
    for query in [
        "find all  Django view functions",
        "Where is UserSerializer defined?",
        "Explain dependency injection",
        "List async functions that use await",
        "Is the ORM slower than SQL?",
    ]:
        with subtests.test(query=query):
            assert is_held_back(example(query))


def test_an_ordinary_query_is_not_held_back() -> None:
    """Serializers in general may be asked about."""
    assert not is_held_back(example("What is a serializer?"))


def test_every_stored_call_gives_its_stored_result_again(mined: Sources, pool: list[Example]) -> None:
    """The hash is of the whole output; the result starts like it."""
    for e in pool:
        if e.call:
            output = run(e.call, mined.tree)
            assert hashlib.sha256(output.encode()).hexdigest() == e.output_sha256
            assert not is_cut(output)
            assert e.result
            assert output.startswith(e.result.split("\n")[0].removesuffix("..."))


def test_the_counts_in_closing_answers_are_true(mined: Sources, pool: list[Example]) -> None:
    """A closing answer that starts with a number of things has counted the output's lines."""
    counted = 0
    for e in pool:
        number, _, noun = e.answer.rstrip(".").partition(" ")
        if e.call and number.isdecimal() and noun.split(" ")[0].strip(",") in ("match", "matches", "file", "files"):
            assert int(number) == len(run(e.call, mined.tree).split("\n"))
            counted += 1
    assert counted > 100


def test_a_number_alone_is_what_the_command_counted(mined: Sources, pool: list[Example]) -> None:
    """``grep -c`` prints it; for ``find`` it is the number of lines."""
    counted = [(e.answer, run(e.call, mined.tree)) for e in pool if e.call and e.answer.rstrip(".").isdecimal()]
    assert counted
    for answer, output in counted:
        rows = output.split("\n")
        assert answer == f"{rows[0] if rows[0].isdecimal() else len(rows)}."


def test_a_place_in_a_closing_answer_is_where_the_symbol_is(mined: Sources, pool: list[Example]) -> None:
    """As the index, which does not use grep, says."""
    places = {(s.name, s.file, s.line) for s in mined.symbols}
    located = [e for e in pool if e.provenance.phrasing in ("class-where", "def-where")]
    assert located
    for e in located:
        origin = e.provenance
        assert (origin.symbol, origin.file, origin.line) in places
        assert e.answer == f"In {origin.file}, line {origin.line}."


def test_a_tool_conversation_has_a_call_that_parses(pool: list[Example]) -> None:
    """System, user, call, result, answer; the call obeys the tools' schemas."""
    e = next(e for e in pool if e.kind == "tool")
    turns = corpus.messages(e, PROMPTING, TOOLS)
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert turns[0]["content"].startswith("Tools:\nrun_command(command)")
    assert parse_reply(turns[2]["content"], "fenced", TOOLS).calls == (e.call,)


def test_a_direct_conversation_calls_nothing() -> None:
    """Without a system prompt it is question and answer."""
    bare = PROMPTING.model_copy(update={"system": ""})
    assert corpus.messages(example("Why?"), bare, TOOLS) == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Yes."},
    ]


def test_only_examples_that_fit_are_chosen(pool: list[Example]) -> None:
    """The caller's limit sees whole conversations."""

    def misfit(messages: list[dict[str, str]]) -> str | None:
        return ROW if sum(len(m["content"]) for m in messages) >= 330 else None

    chosen = selection.select(pool, MINED, PROMPTING, TOOLS, misfit, held_back_queries())
    assert not any(misfit(corpus.messages(e, PROMPTING, TOOLS)) for e in everything(chosen))
    long = {e.query for e in pool if misfit(corpus.messages(e, PROMPTING, TOOLS))}
    named = {exclusion.query: exclusion.reason for exclusion in chosen.exclusions if exclusion.query in long}
    assert long == named.keys()
    assert {ROW} <= set(named.values()) <= set(REASONS[: REASONS.index(DUPLICATE) + 1])


def test_a_pool_that_is_too_small_says_by_how_much(pool: list[Example]) -> None:
    """Found, left and needed, for each kind, and why the others were left out."""
    counts = "tool: 1 found, 0 left, 483 needed; direct: 0 found, 0 left, 200 needed. Left out: row too long 1."
    with pytest.raises(InvalidInput, match=counts):
        selection.select(pool[:1], MINED, PROMPTING, TOOLS, lambda messages: ROW, held_back_queries())


def test_hand_written_answers_are_taken_first(pool: list[Example], splits: Splits) -> None:
    """Docstrings only fill up what is left; a hand-written answer goes only where it comes near a probe."""
    reasons = {e.reason for e in splits.exclusions if e.distribution is None}
    left_out = sum(e.distribution is None for e in splits.exclusions)
    assert reasons <= {NEAR_PROBE}
    assert sum(e.preferred for e in everything(splits)) == sum(e.preferred for e in pool) - left_out > 100


def test_every_candidate_is_chosen_or_left_out_with_one_known_reason(pool: list[Example], splits: Splits) -> None:
    """Nothing gets lost, nothing is counted twice."""
    chosen, left_out = Counter(e.query for e in everything(splits)), Counter(e.query for e in splits.exclusions)
    assert chosen + left_out == Counter(e.query for e in pool)
    assert {e.reason for e in splits.exclusions} <= set(REASONS)


def test_a_candidate_from_outside_the_domain_is_pruned(pool: list[Example]) -> None:
    """Mined from a distribution that the profile names as outside."""
    mined = MINED.model_copy(update={"outside": ("Flask",)})
    chosen = selection.select(pool, mined, PROMPTING, TOOLS, lambda messages: None, held_back_queries())
    assert "Flask" not in {e.provenance.distribution for e in everything(chosen)}
    assert {e.reason for e in chosen.exclusions if e.distribution == "Flask"} == {OUTSIDE}


def test_a_candidate_about_a_canonical_query_is_pruned(pool: list[Example]) -> None:
    """With that reason."""
    asked = example("What is dependency injection in Django?")
    chosen = selection.select([*pool, asked], MINED, PROMPTING, TOOLS, lambda messages: None, held_back_queries())
    assert [e.reason for e in chosen.exclusions if e.query == asked.query] == [ABOUT_CANONICAL]


def test_a_hand_written_query_replaces_its_mined_twin(pool: list[Example]) -> None:
    """The mined one is the duplicate, wherever it stands in the pool."""
    written = next(e for e in pool if e.preferred and e.query == "What is a Flask blueprint?")
    twin = direct("what is a  Flask blueprint", "Drawing")
    chosen = selection.select([twin, *pool], MINED, PROMPTING, TOOLS, lambda messages: None, held_back_queries())
    assert written in everything(chosen)
    assert [e.reason for e in chosen.exclusions if e.query == twin.query] == [DUPLICATE]


def test_about_half_of_the_test_split_is_asked_in_unseen_phrasings(splits: Splits) -> None:
    """So that both figures can be reported."""
    unseen = sum(e.provenance.phrasing in splits.unseen for e in splits.test)
    assert 0.4 <= unseen / len(splits.test) <= 0.6


def test_a_fifth_of_the_phrasings_is_in_the_test_split_alone(pool: list[Example], splits: Splits) -> None:
    """Candidates in them that the test split had no room for are left out."""
    phrasings = {e.provenance.phrasing for e in pool if not e.preferred}
    assert 0.15 <= len(splits.unseen) / len(phrasings) <= 0.25
    assert not splits.unseen & {e.provenance.phrasing for e in (*splits.train, *splits.valid)}
    assert {e.reason for e in splits.exclusions if e.phrasing in splits.unseen} <= {
        UNSEEN,
        *REASONS[: REASONS.index(UNSEEN)],
    }


def test_a_second_build_is_the_same_to_the_byte(mined: Sources, splits: Splits, tmp_path: Path) -> None:
    """From the same sources and seed."""
    pool = corpus.pool(MINED, PROMPTING, mined)
    again = selection.select(pool, MINED, PROMPTING, TOOLS, lambda messages: None, held_back_queries())
    corpus.write(splits, PROMPTING, TOOLS, tmp_path / "one")
    corpus.write(again, PROMPTING, TOOLS, tmp_path / "two")
    for name in (*NAMES, "provenance", "exclusions"):
        one, two = (tmp_path / folder / f"{name}.jsonl" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_every_row_has_messages_tools_and_a_provenance_line(splits: Splits, tmp_path: Path) -> None:
    """The provenance names the split and the row."""
    corpus.write(splits, PROMPTING, TOOLS, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    origins = [json.loads(line) for line in (tmp_path / "provenance.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 69
    assert all(list(row) == ["messages", "tools"] for row in rows)
    assert len(origins) == 683
    last = origins[-1]
    assert (last["split"], last["row"]) == ("test", 68)
    assert rows[68]["messages"][1]["content"] == last["query"]
    assert all(o["unseen_phrasing"] == (o["provenance"]["phrasing"] in splits.unseen) for o in origins)


def test_an_exclusion_line_names_the_candidate_and_the_reason(splits: Splits, tmp_path: Path) -> None:
    """With its origin, so that each can be looked up."""
    corpus.write(splits, PROMPTING, TOOLS, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "exclusions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(splits.exclusions)
    keys = ["id", "kind", "group", "query", "distribution", "symbol", "phrasing", "reason"]
    assert all(list(line) == keys for line in lines)


def test_pool_texts_hold_queries_calls_results_and_answers() -> None:
    """A tokenizer must see everything that is said."""
    call = Call(name="read_file", arguments={"path": "a.py"})
    texts = list(corpus.pool_texts([example("Open a.py", kind="tool", call=call, result="x = 1")]))
    assert texts == ["Open a.py", '{"name": "read_file", "arguments": {"path": "a.py"}}', "x = 1", "Yes."]


def test_hand_written_answers_are_one_short_sentence() -> None:
    """At least 170, none asked twice, at most 22 words."""
    pairs = list(hand_written())
    assert len(pairs) >= 170
    assert len({pair.query for pair in pairs}) == len(pairs)
    assert all(pair.answer.endswith(".") and len(pair.answer.split()) <= 22 for pair in pairs)
    assert not [pair.query for pair in pairs if is_held_back(pair)]


def test_a_broken_hand_written_line_is_named(tmp_path: Path) -> None:
    """With file and line number."""
    path = tmp_path / "direct.jsonl"
    path.write_text('{"id": "a"}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"direct.jsonl:1: not an id"):
        list(hand_written(path))


def test_only_a_sentence_that_stands_alone_is_an_answer(subtests: pytest.Subtests) -> None:
    """Complete, plain and of five to eighteen words."""
    for docstring, sentence in [
        ("A page of found results. More follows.", "A page of found results."),
        ("Return the value, e.g. a number,\n    as text.\n\nDetails.", "Return the value, e.g. a number, as text."),
        ("Return the value of the given\n    setting.\n\nDetails.", "Return the value of the given setting."),
        ("Return it.", None),
        ("See below for what this does exactly.", None),
        ("Return ``x`` without any of the markup.", None),
        ("No sentence here", None),
    ]:
        with subtests.test(docstring=docstring, sentence=sentence):
            assert first_sentence(docstring) == sentence


def test_there_are_many_ways_to_ask() -> None:
    """At least 60, each with its own id."""
    ids = [phrasing.id for phrasing in read_phrasings()]
    assert len(ids) == len(set(ids)) >= 60
