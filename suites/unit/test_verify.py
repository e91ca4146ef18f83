"""A built corpus is proved by executing its calls again."""

import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from phase8.cases.cases import CASES
from phase8.core.errors import InvalidInput
from phase8.corpus import pool as corpus
from phase8.corpus.checks import verify
from phase8.corpus.checks.verify import changed_results, read_tool_examples, shows, untrue_answers
from phase8.corpus.mining.example import Example
from phase8.corpus.pool import Splits
from phase8.corpus.tools.run import run
from phase8.corpus.tools.tree import SourceTree
from phase8.profile.loading import load
from suites.unit.examples import direct, tool

LOCATED = load("smollm2")
PROMPTING = LOCATED.profile.prompting
TOOLS = json.loads((CASES / "tools.json").read_text(encoding="utf-8"))


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    """A package with one file."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.py").write_text("class Amber:\n    pass\n\n\nclass Birch:\n    pass\n", encoding="utf-8")
    return SourceTree(tmp_path, ["shop"])


def executed(symbol: str, tree: SourceTree, answer: str) -> Example:
    """A tool example with its real result."""
    example = tool(f"Where is {symbol} defined?", symbol)
    assert example.call
    output = run(example.call, tree)
    digest = hashlib.sha256(output.encode()).hexdigest()
    return example.model_copy(update={"result": output, "output_sha256": digest, "answer": answer})


@pytest.fixture
def built(tree: SourceTree, tmp_path: Path) -> Path:
    """A corpus of two tool examples and a direct one."""
    amber = executed("Amber", tree, "In shop/a.py, line 1.")
    birch = executed("Birch", tree, "In shop/a.py, line 5.")
    splits = Splits(train=(amber,), valid=(direct("What is Birch?", "Birch"),), test=(birch,))
    corpus.write(splits, PROMPTING, TOOLS, tmp_path / "corpus")
    return tmp_path / "corpus"


def change(built: Path, name: str, old: str, new: str) -> None:
    """Replace text in a file of the corpus."""
    path = built / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def verified(built: Path, tree: SourceTree, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The exit code of the verification and what it prints."""
    monkeypatch.setattr(verify, "mined_sources", lambda mined: SimpleNamespace(tree=tree))
    text = io.StringIO()
    code = verify.verify(LOCATED, TOOLS, built, 50, Console(file=text, width=200))
    return code, text.getvalue()


def test_a_sound_corpus_is_proved(built: Path, tree: SourceTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call and every closing answer, counted."""
    expected = "2 of 2 calls give the stored result\n2 of 2 closing answers are true\n"
    assert verified(built, tree, monkeypatch) == (0, expected)


def test_an_untrue_answer_is_named(built: Path, tree: SourceTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """By id, with what was expected and what was found."""
    change(built, "test.jsonl", "line 5", "line 6")
    code, text = verified(built, tree, monkeypatch)
    example = tool("Where is Birch defined?", "Birch")
    assert code == 1
    assert text.startswith(f"{example.id}: expected line 5; found 'line 6' in 'In shop/a.py, line 6.'\n")
    assert text.endswith("2 of 2 calls give the stored result\n1 of 2 closing answers are true\n")


def test_a_changed_result_is_named(built: Path, tree: SourceTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model would be shown is not what the call prints."""
    change(built, "train.jsonl", "shop/a.py:1:class Amber:", "shop/a.py:2:class Amber:")
    code, text = verified(built, tree, monkeypatch)
    assert code == 1
    assert "1 of 2 calls give the stored result\n2 of 2 closing answers are true\n" in text


def test_changed_sources_are_found_by_the_hash(built: Path, tmp_path: Path) -> None:
    """Another output, though it starts in the same way."""
    source = tmp_path / "shop" / "a.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nclass BirchLeaf:\n    pass\n", encoding="utf-8")
    tree = SourceTree(tmp_path, ["shop"])
    examples = read_tool_examples(built, PROMPTING.format, TOOLS)
    assert [fault.id for fault in changed_results(examples, tree)] == [tool("Where is Birch defined?", "Birch").id]


def test_an_answer_that_claims_nothing_is_not_true(built: Path, tree: SourceTree) -> None:
    """There is nothing to check in it."""
    examples = read_tool_examples(built, PROMPTING.format, TOOLS)
    silent = examples[0]._replace(answer="There it is.")
    assert [fault.expected for fault in untrue_answers([silent], tree)] == ["a count, path or name"]


def test_a_call_that_is_refused_gives_no_result(built: Path, tree: SourceTree) -> None:
    """A file that is gone is a fault, not a crash."""
    examples = read_tool_examples(built, PROMPTING.format, TOOLS)
    call = examples[0].call.model_copy(update={"name": "read_file", "arguments": {"path": "shop/gone.py"}})
    assert ["refused" in fault.found for fault in changed_results([examples[0]._replace(call=call)], tree)] == [True]


def test_a_shortened_result_is_the_start_of_the_output(subtests: pytest.Subtests) -> None:
    """And says truly how much is missing."""
    for result, is_shown in [
        ("one\ntwo\nthree", True),
        ("one\n[+2 more]", True),
        ("o...\n[+2 more]", True),
        ("one\n[+1 more]", False),
        ("one\ntwo", False),
        ("two\n[+2 more]", False),
        ("on\n[+2 more]", False),
        ("one\ntwo\nthree\nforged\n[+-1 more]", False),
        ("one\ntwo\nthree\n[+0 more]", False),
        ("one\n[+x more]", False),
        ("...\n...\n...", False),
    ]:
        with subtests.test(result=result, is_shown=is_shown):
            assert shows(result, "one\ntwo\nthree") == is_shown


def test_provenance_that_does_not_fit_its_rows_is_named(built: Path) -> None:
    """With file and line."""
    change(built, "provenance.jsonl", '"split": "test", "row": 0', '"split": "test", "row": 7')
    with pytest.raises(InvalidInput, match=r"provenance\.jsonl:3: does not fit"):
        read_tool_examples(built, PROMPTING.format, TOOLS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[]", "does not fit"),
        (b"\xff", "does not fit"),
        (b'{"split": [], "row": 0, "kind": "tool"}', "does not fit"),
        (b'{"split": "test", "row": "0", "kind": "tool"}', "does not fit"),
        (b'{"split": "test", "row": 0, "kind": "told"}', "allowed: tool, direct"),
        (b'{"split": "test", "row": -1, "kind": "direct"}', "exactly one"),
        (b'{"split": "train", "row": 0, "kind": "direct"}', "2 lines for row 0 of train.jsonl; exactly one"),
        (b"", "0 lines for row 0 of test.jsonl; exactly one"),
    ],
)
def test_damaged_provenance_is_one_message(built: Path, line: bytes, said: str) -> None:
    """In place of the line of the test row: nothing that cannot be read, and no row told of twice or never."""
    path = built / "provenance.jsonl"
    path.write_bytes(b"\n".join([*path.read_bytes().splitlines()[:2], line]))
    with pytest.raises(InvalidInput, match=r"provenance\.jsonl") as refused:
        read_tool_examples(built, PROMPTING.format, TOOLS)
    assert said in str(refused.value)


def test_a_corpus_without_tool_examples_is_not_proved(tmp_path: Path) -> None:
    """Nothing was executed, so nothing holds."""
    split = (direct("What is Birch?", "Birch"),)
    corpus.write(Splits(train=split, valid=split, test=split), PROMPTING, TOOLS, tmp_path / "corpus")
    with pytest.raises(InvalidInput, match="no tool example"):
        verify.verify(LOCATED, TOOLS, tmp_path / "corpus", 50, Console())


def test_a_corpus_of_the_users_own_files_cannot_be_verified(built: Path) -> None:
    """Its calls were not executed here."""
    own = LOCATED.profile.model_copy(update={"corpus": None})
    with pytest.raises(InvalidInput, match="only a mined corpus"):
        verify.verify(LOCATED.model_copy(update={"profile": own}), TOOLS, built, 50, Console())


def test_at_least_one_example_is_drawn(built: Path) -> None:
    """None would prove nothing."""
    with pytest.raises(InvalidInput, match="--verify is 0"):
        verify.verify(LOCATED, TOOLS, built, 0, Console())
