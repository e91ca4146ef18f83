"""Training stays away from canonical queries and probes."""

from pathlib import Path

import pytest

from phase8.core.errors import InvalidInput
from phase8.corpus.split.decontamination import CANONICAL, PROBES, Asked, HeldBack, read_asked
from suites.unit.examples import direct, tool, written

HELD = HeldBack(
    [
        Asked("Who calls slugify anywhere in this tree?", "tool"),
        Asked("Show me why ORMs exist", "direct"),
        Asked("How many hooks in _pytest/hookspec.py are marked firstresult?", "tool"),
        Asked("does anything in contrib.auth use sync_to_async?", "tool"),
        Asked("What patterns does our Foreign Key compile?", "direct"),
    ]
)


def test_the_same_kind_of_reply_about_the_same_thing_is_too_near(subtests: pytest.Subtests) -> None:
    """However differently it is asked."""
    for example in [
        tool("Where is slugify() defined?", "slugify"),
        tool("Open _pytest/hookspec.py", "_pytest/hookspec.py"),
        tool("ls contrib/auth", "contrib/auth"),
        written("What is an ORM?", "django-orm"),
        written("What is a ForeignKey?", "django-foreign-key"),
        direct("What is ORMs?", "ORMs"),
    ]:
        with subtests.test(example=example):
            assert HELD.shares_noun(example)


def test_another_thing_or_another_kind_of_reply_is_not(subtests: pytest.Subtests) -> None:
    """The contrast is what there is to learn."""
    for example in [
        direct("What does slugify do?", "slugify"),
        tool("Open flask/hookspec.py", "flask/views.py"),
        tool("Where is slug defined?", "slug"),
        written("What is a Django view?", "django-views"),
    ]:
        with subtests.test(example=example):
            assert not HELD.shares_noun(example)


@pytest.mark.parametrize("path", [CANONICAL, PROBES], ids=lambda path: path.name)
def test_the_shipped_queries_can_be_read(path: Path) -> None:
    """Each with what the right reply does."""
    assert {asked.label for asked in read_asked(path)} == {"tool", "direct"}


def test_missing_probes_are_an_error(tmp_path: Path) -> None:
    """Without them training could come near."""
    with pytest.raises(InvalidInput, match=r"probes\.jsonl: no such file.*restore it"):
        read_asked(tmp_path / "probes.jsonl")


@pytest.mark.parametrize("line", ["no JSON", '{"query": "a"}', '{"query": "a", "label": "call"}'])
def test_a_line_without_query_and_label_is_named(tmp_path: Path, line: str) -> None:
    """With file and line number."""
    path = tmp_path / "probes.jsonl"
    path.write_text(f'{{"query": "a", "label": "tool"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"probes\.jsonl:2: "):
        read_asked(path)
