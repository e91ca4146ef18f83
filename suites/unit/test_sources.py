"""The sources are found, pinned and indexed as they are."""

from pathlib import Path

import pytest

from phase8.core.errors import InvalidInput
from phase8.corpus.sources import distributions as sources
from phase8.corpus.sources.symbols import Distribution, Symbol
from phase8.corpus.tools.tree import SourceTree

CODE = '''
LIMIT = 3

@register("x")
class Box(Base, metaclass=Meta):
    """A box. It holds things."""

    def open(self, key: str) -> None: ...

async def fetch(url, *, retries=2): ...
'''


@pytest.fixture
def indexed(tmp_path: Path) -> sources.Sources:
    """A small package with code, tests and assets."""
    files = {
        "shop/box.py": CODE,
        "shop/tests/test_box.py": "class BoxTest: ...\n",
        "shop/test_more.py": "class More: ...\n",
        "shop/broken.py": "def (:\n",
        "shop/templates/base.html": "<p>{% block body %}{% endblock %}\n",
        "shop/static/site.css": "p {}\n",
        "shop/static/site.min.js": "x\n",
        "shop/static/site.js": "x\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    tree = SourceTree(tmp_path, ["shop"])
    return sources.index(tree, (Distribution(name="Shop", version="1.0", packages=("shop",)),))


def symbol(indexed: sources.Sources, name: str) -> Symbol:
    """The symbol of that name."""
    return next(s for s in indexed.symbols if s.name == name)


def test_every_definition_is_indexed_and_tests_are_not(indexed: sources.Sources) -> None:
    """A file that does not parse defines nothing."""
    found = [(s.kind, s.owner, s.name) for s in indexed.symbols]
    assert found == [
        ("constant", None, "LIMIT"),
        ("class", None, "Box"),
        ("function", "Box", "open"),
        ("async function", None, "fetch"),
    ]


def test_a_class_has_line_decorators_signature_and_docstring(indexed: sources.Sources) -> None:
    """The line is that of the class statement, not of its decorator."""
    box = symbol(indexed, "Box")
    assert (box.file, box.line, box.end_line) == ("shop/box.py", 5, 8)
    assert (box.decorators, box.signature) == (("register('x')",), "class Box(Base)")
    assert box.docstring == "A box. It holds things."


def test_a_signature_keeps_its_parameters(indexed: sources.Sources) -> None:
    """As Python writes them."""
    assert symbol(indexed, "fetch").signature == "async def fetch(url, *, retries=2)"


def test_templates_styles_and_scripts_are_indexed_by_path(indexed: sources.Sources) -> None:
    """Minified files are left out."""
    assert [(a.kind, a.file) for a in indexed.assets] == [
        ("stylesheet", "shop/static/site.css"),
        ("script", "shop/static/site.js"),
        ("template", "shop/templates/base.html"),
    ]


def test_parts_are_those_of_indexed_files(indexed: sources.Sources) -> None:
    """Each with its place; a minified script has none."""
    found = [(part.kind, part.name, part.file) for part in indexed.parts]
    assert found == [("css rule", "p", "shop/static/site.css"), ("block", "body", "shop/templates/base.html")]


def test_a_missing_distribution_is_named_with_the_way_to_install_it() -> None:
    """The first one that is missing stops the build."""
    with pytest.raises(InvalidInput, match="No-Such-Thing is not installed. Run: uv pip install No-Such-Thing"):
        sources.read(["Flask", "No-Such-Thing"])


def test_no_distributions_are_refused() -> None:
    """An empty list is a mistake in the profile."""
    with pytest.raises(InvalidInput, match="distributions is empty"):
        sources.read([])


def test_an_installed_distribution_brings_its_version_and_packages() -> None:
    """Flask itself, as pip installed it."""
    found = sources.read(["Flask"])
    assert found.distributions[0].packages == ("flask",)
    assert found.distributions[0].version.count(".") >= 1
    assert any(s.name == "Blueprint" and s.file == "flask/blueprints.py" for s in found.symbols)


def test_a_distribution_of_several_packages_brings_them_all() -> None:
    """pytest's code is in _pytest."""
    found = sources.read(["pytest"])
    assert {"_pytest", "pytest"} <= set(found.distributions[0].packages)
    assert any(s.name == "MonkeyPatch" and s.file == "_pytest/monkeypatch.py" for s in found.symbols)
