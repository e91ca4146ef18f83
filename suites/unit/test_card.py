"""The data card: what a corpus consists of, from its files alone, harmless to open."""

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from phase8.cli.main import main
from phase8.corpus import card, card_facts
from phase8.profile.profile import Profile
from phase8.record.run import CorpusRecord
from suites.unit.profiles import READY, located, write_profile

HOSTILE = "<script>alert(1)</script> | `x` [a](http://b) \x1b[31m\u202e"
FENCE = "```json\n{}\n```\n\n# Not a heading"


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def conversation(query: str, *, calls: bool) -> dict[str, Any]:
    """A row that calls or answers."""
    call = '```json\n{"name": "read_file", "arguments": {"path": "a.py"}}\n```'
    turns = [("user", query)]
    turns += [("assistant", call), ("tool", "x = 1")] if calls else []
    return {"messages": [{"role": role, "content": text} for role, text in [*turns, ("assistant", "It is one.")]]}


def origin(split: str, row: int, kind: str, phrasing: str, distribution: str | None, **more: Any) -> dict[str, Any]:
    """A line of provenance."""
    where = {"distribution": distribution, "version": distribution and "1.0", "file": "a.py", "line": 3, "symbol": "x"}
    return {"split": split, "row": row, "id": "i", "kind": kind, "group": "g", "query": "q"} | {
        "provenance": where | {"phrasing": phrasing},
        **more,
    }


def make_profile(folder: Path) -> Profile:
    """A profile with a description that is not to be trusted."""
    return located(folder).profile.model_copy(update={"description": HOSTILE})


def make_corpus(folder: Path) -> Path:
    """Three training rows and one test row, without anything optional."""
    corpus = folder / "corpus"
    corpus.mkdir()
    trained = [("Where is A?", True), ("Where is B?", True), ("What is C?", False)]
    lines(corpus / "train.jsonl", [conversation(query, calls=calls) for query, calls in trained])
    lines(corpus / "test.jsonl", [conversation(FENCE, calls=False)])
    record = CorpusRecord(train=3, valid=0, test=1, tool_share=0.5, row_tokens=128, longest_row_tokens=None)
    (corpus / "corpus.json").write_text(record.model_dump_json(), encoding="utf-8")
    return corpus


def make_mined(corpus: Path) -> Path:
    """The same with everything that a mined corpus has."""
    origins = [
        origin("train", 0, "tool", "class-where", "pydantic", unseen_phrasing=False),
        origin("train", 1, "tool", "class-where", "pydantic", unseen_phrasing=False),
        origin("train", 2, "direct", "hand-written", None, unseen_phrasing=False),
        origin("test", 0, "direct", HOSTILE, "never-installed", unseen_phrasing=True),
    ]
    lines(corpus / "provenance.jsonl", origins)
    reasons = ["outside the domain", "too long", "outside the domain"]
    lines(corpus / "exclusions.jsonl", [{"id": "x", "distribution": "rich", "reason": reason} for reason in reasons])
    leakage = {"shared_symbols": 0, "limits": {"splits": 0.8}, "pairs": [], "closest": [{"similarity": 0.79}]}
    (corpus / "leakage.json").write_text(json.dumps(leakage), encoding="utf-8")
    return corpus


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """The profile of a corpus that a test changes."""
    return make_profile(tmp_path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus that a test changes."""
    return make_corpus(tmp_path)


def cards(corpus: Path, profile: Profile, length: card_facts.Length | None = None) -> tuple[str, str]:
    """The Markdown and the page of a corpus."""
    card.write(corpus, profile, length)
    return (corpus / card.MARKDOWN).read_text(encoding="utf-8"), (corpus / card.PAGE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Both cards of a corpus that has everything, lengths in tokens."""
    folder = tmp_path_factory.mktemp("rendered")
    return cards(make_mined(make_corpus(folder)), make_profile(folder), lambda messages: 10 * len(messages))


def cells(page: str, text: str) -> list[str]:
    """The cells of the table row of a page that begins with a text."""
    row = re.search(rf'<tr><th scope="row">{re.escape(text)}</th>(.*?)</tr>', page, re.DOTALL)
    assert row, text
    return re.findall(r"<td[^>]*>(.*?)</td>", row[1])


def test_totals_balance_and_splits_are_counted(rendered: tuple[str, str]) -> None:
    """From the rows themselves."""
    markdown, page = rendered
    assert "4 rows: 3 train, 1 test;\n50.0 % call a tool, 50.0 % answer directly." in markdown
    assert "| train | 3 | 2 | 1 | 66.7 % |\n| test | 1 | 0 | 1 | 0.0 % |" in markdown
    assert cells(page, "train") == ["3", "2", "1", "66.7 %"]


def test_sources_have_version_examples_and_declared_licence(rendered: tuple[str, str]) -> None:
    """Those that gave no example stand there too."""
    markdown, page = rendered
    assert cells(page, "pydantic") == ["1.0", "2", "0", metadata.metadata("pydantic")["License-Expression"]]
    assert cells(page, "rich") == ["", "0", "3", card_facts.licence("rich")]
    assert cells(page, "never-installed")[-1] == "unknown: not installed"
    assert "| hand-written |  | 1 | 0 | that of this repository |" in markdown


def test_a_licence_is_found_however_it_is_declared() -> None:
    """As an expression, as a field, or as a classifier."""
    assert card_facts.licence("pydantic") == "MIT"
    assert "MIT" in card_facts.licence("rich")
    assert "BSD" in card_facts.licence("Django")


def test_phrasings_are_counted_and_unseen_ones_marked(rendered: tuple[str, str]) -> None:
    """The most frequent first."""
    markdown, page = rendered
    assert cells(page, "class-where") == ["2", "yes"]
    assert "3 phrasings. Rows phrased as no training row is: 1." in markdown
    assert markdown.index("| class-where | 2 | yes |") < markdown.index("| hand-written | 1 | yes |")


def test_only_so_many_phrasings_are_shown(corpus: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the card says that there are more."""
    monkeypatch.setattr(card, "PHRASINGS_SHOWN", 1)
    lines(corpus / "provenance.jsonl", [origin("train", row, "tool", f"p{row}", "rich") for row in range(2)])
    markdown, page = cards(corpus, profile)
    assert "2 phrasings, the 1 most frequent shown. Whether training saw them is not recorded." in markdown
    assert "| p0 | 1 | not recorded |" in markdown
    assert "p1" not in markdown + page


def test_reasons_for_leaving_out_are_counted(rendered: tuple[str, str]) -> None:
    """With their sum."""
    markdown, page = rendered
    assert "| outside the domain | 2 |\n| too long | 1 |\n| all | 3 |" in markdown
    assert cells(page, "outside the domain") == ["2"]


def test_leakage_is_shown_whatever_its_keys(rendered: tuple[str, str]) -> None:
    """Nested ones by their path, lists by their length."""
    _, page = rendered
    assert cells(page, "shared_symbols") == ["0"]
    assert cells(page, "limits / splits") == ["0.8"]
    assert cells(page, "pairs") == ["0"]
    assert cells(page, "closest") == ["1: {&#34;similarity&#34;: 0.79}"]


def test_what_a_corpus_of_the_users_own_lacks_is_not_applicable(corpus: Path, profile: Profile) -> None:
    """Section by section."""
    for text in cards(corpus, profile):
        assert text.count("Not applicable: ") == 4
        assert "the rows are files of the user" in text


@pytest.mark.parametrize("key", ["tool_calls", "content"])
def test_without_provenance_the_first_reply_says_what_a_row_does(corpus: Path, profile: Profile, key: str) -> None:
    """Structured calls as well as text."""
    calls = {"tool_calls": [{"function": {"name": "x", "arguments": {}}}], "content": '```json\n{"name": "x"}\n```'}
    message = {"role": "assistant", key: calls[key]}
    lines(corpus / "test.jsonl", [{"messages": [{"role": "user", "content": "Do"}, message]}])
    markdown, _ = cards(corpus, profile)
    assert "| test | 1 | 1 | 0 | 100.0 % |" in markdown


def test_examples_of_one_kind_differ_in_phrasing(corpus: Path, profile: Profile) -> None:
    """As long as there are others; the first of each is shown."""
    rows = [conversation(f"Where is {name}?", calls=True) for name in ("one", "two", "three", "four")]
    lines(corpus / "train.jsonl", rows)
    phrasings = ["a", "a", "b", "c"]
    lines(corpus / "provenance.jsonl", [origin("train", i, "tool", p, "rich") for i, p in enumerate(phrasings)])
    markdown, _ = cards(corpus, profile)
    assert re.findall(r"user: Where is (\w+)\?", markdown) == ["one", "three", "four"]


def test_lengths_are_tokens_where_they_can_be_counted(rendered: tuple[str, str]) -> None:
    """Each row is one conversation."""
    markdown, page = rendered
    assert "| tool | 2 | 40 / 40 / 40 |\n| direct | 2 | 20 / 20 / 20 |" in markdown
    assert "Row lengths, tokens" in page
    assert "No row may be longer than 128 tokens." in page


def test_lengths_are_characters_without_a_tokenizer(corpus: Path, profile: Profile) -> None:
    """And both cards say so; a limit in tokens is not drawn there."""
    markdown, page = cards(corpus, profile)
    assert "In characters, shortest / median / longest." in markdown
    assert "Row lengths, characters" in page
    assert "No row may be longer" not in page


def test_the_page_loads_nothing_and_runs_nothing(rendered: tuple[str, str]) -> None:
    """Whatever the rows and the profile say."""
    _, page = rendered
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "default-src 'none'" in page
    assert page.count("<svg") == 2
    assert not set(page) & {"\x1b", "\u202e"}


def test_the_markdown_shows_rows_as_they_are_and_nothing_else(rendered: tuple[str, str]) -> None:
    """No markup of theirs is markup of ours."""
    markdown, _ = rendered
    assert not re.search(r"(?<!\\)<script", markdown)
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert not set(markdown) & {"\x1b", "\u202e"}
    assert not re.search(r"^# Not a heading", markdown, re.MULTILINE)
    assert "    # Not a heading" in markdown


def test_the_same_corpus_gives_the_same_bytes(corpus: Path, profile: Profile) -> None:
    """So that the hash of a corpus can cover its card."""
    assert cards(corpus, profile) == cards(corpus, profile)


def test_the_command_names_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the rows it has built."""
    make_corpus(tmp_path)
    text = READY + '[corpus]\nkind = "files"\ntest = "corpus/test.jsonl"\n'
    command = ["data", "--profile", str(write_profile(tmp_path, text=text)), "--build", str(tmp_path / "build")]
    assert main(command) == 0
    built = Path(capsys.readouterr().out.splitlines()[1])
    (built / card.PAGE).write_text("", encoding="utf-8")
    assert main(command) == 0
    assert capsys.readouterr().out.endswith(f"data card: {built / card.PAGE}\n")
