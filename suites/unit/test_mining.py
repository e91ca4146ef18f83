"""Tool queries over every kind of thing, in several registers, with true answers."""

import random
import re
from collections import Counter

import pytest

from phase8.corpus.mining.example import Example
from phase8.corpus.mining.templates import read_phrasings
from phase8.corpus.mining.tool_calls import chosen_phrasings, tool_examples
from phase8.corpus.sources import distributions as sources
from phase8.corpus.sources.code_roles import Roles
from phase8.corpus.sources.distributions import Sources
from phase8.corpus.tools.run import run
from phase8.profile.loading import load
from phase8.profile.sections import MinedCorpus, Prompting

MINED = MinedCorpus(
    kind="mined",
    distributions=("Flask", "Jinja2", "pytest"),
    outside=("click",),
    examples=600,
    tool_share=0.7,
    row_tokens=128,
    system_tokens=48,
    call_tokens=48,
    answer_tokens=48,
    seed=8,
)
PROMPTING = Prompting(format="fenced", stop_sequences=("<|im_end|>",), max_tokens=48)


@pytest.fixture(scope="module")
def mined() -> Sources:
    """Three distributions, as installed."""
    return sources.read(MINED.distributions)


@pytest.fixture(scope="module")
def examples(mined: Sources) -> list[Example]:
    """Their tool examples."""
    return list(tool_examples(MINED, PROMPTING, mined, random.Random(8)))


def about(examples: list[Example], kind: str) -> list[Example]:
    """The examples that ask about one kind of thing."""
    ids = {phrasing.id for phrasing in read_phrasings() if phrasing.about == kind}
    return [example for example in examples if example.provenance.phrasing in ids]


def test_there_are_phrasings_for_every_kind_and_each_asks_its_own_way() -> None:
    """At least 60 of them, no query template twice for the same kind."""
    phrasings = read_phrasings()
    assert len(phrasings) >= 60
    assert max(Counter((p.about, p.query.casefold()) for p in phrasings).values()) == 1
    assert len({p.about for p in phrasings}) >= 30


def test_the_tiny_model_is_asked_about_many_kinds_of_symbols() -> None:
    """No word of a query may decide by itself, and no file's path is asked about: that would take long rows."""
    corpus = load("pocket").profile.corpus
    assert isinstance(corpus, MinedCorpus)
    phrasings = chosen_phrasings(corpus.subjects)
    counts = Counter(p.about for p in phrasings)
    assert len(counts) == len(corpus.subjects) >= 10
    assert max(counts.values()) <= len(phrasings) / 3
    assert not [p.id for p in phrasings if p.tool != "run_command"]


def test_a_tool_query_is_short() -> None:
    """Embedded profiles allow rows of 128 tokens: what is not a name must leave room for it."""
    for phrasing in read_phrasings():
        said = [phrasing.query, phrasing.closing, *map(str, phrasing.arguments.values())]
        assert len(re.sub(r"\{\w+\}", "", " ".join(said))) <= 110, phrasing.id


def test_a_fixture_that_is_asked_about_is_one(mined: Sources, examples: list[Example]) -> None:
    """By its decorator, at the place that the answer names."""
    places = {(name, s.file, s.line) for role, s, name in Roles(mined).all() if role == "fixture"}
    found = [example.provenance for example in about(examples, "fixture")]
    assert len(found) >= 10
    assert {(p.symbol, p.file, p.line) for p in found} <= places


def test_a_count_in_an_answer_is_the_parsers_count_too(mined: Sources, examples: list[Example]) -> None:
    """Methods that grep counts are methods that the index knows."""
    methods = Counter(symbol.file for symbol in mined.symbols if symbol.owner)
    found = [example for example in examples if example.provenance.phrasing == "method-count"]
    assert found
    assert all(example.answer == f"{methods[example.provenance.file]}." for example in found)


def test_every_call_gives_its_result_again(mined: Sources, examples: list[Example]) -> None:
    """And the first line is what the model was shown."""
    for example in examples:
        assert example.call
        assert example.result
        assert run(example.call, mined.tree).startswith(example.result.split("\n")[0].removesuffix("..."))


def test_nouns_of_hand_written_answers_are_asked_for_with_tools_too(examples: list[Example]) -> None:
    """So that the noun alone does not tell what to do."""
    assert {"Blueprint", "MethodView", "FileSystemLoader", "capsys", "tmp_path"} <= {e.group for e in examples}


def test_outside_sources_give_a_small_sample() -> None:
    """Enough to be left out."""
    outside = sources.read(MINED.outside)
    found = list(tool_examples(MINED, PROMPTING, outside, random.Random(8), outside=True))
    assert 20 <= len(found) <= 200
    assert {example.provenance.distribution for example in found} == {"click"}


@pytest.mark.parametrize("name", ["smollm2", "qwen3-coder-30b", "qwen25-coder-7b"])
def test_a_profile_names_its_domain_and_what_lies_outside(name: str) -> None:
    """Seven distributions and at least four others, none in both."""
    corpus = load(name).profile.corpus
    assert isinstance(corpus, MinedCorpus)
    domain = {"Django", "Flask", "fastapi", "starlette", "Sphinx", "Jinja2", "pytest"}
    assert set(corpus.distributions) == domain
    assert len(set(corpus.outside) - domain) >= 4
