"""Symbols are told by what they derive from, not by what they look like."""

from pathlib import Path

import pytest

from phase8.corpus.sources import distributions as sources
from phase8.corpus.sources.code_roles import Roles
from phase8.corpus.sources.symbols import Distribution
from phase8.corpus.tools.tree import SourceTree

FILES = {
    "shop/models.py": "from django.db import models\nclass Base(models.Model): ...\n",
    "shop/more.py": "from shop.models import Base\nclass Item(Base): ...\nclass Model: ...\nclass Plain(Model): ...\n",
    "shop/errors.py": "class Wrong(KeyError): ...\nclass VeryWrong(Wrong): ...\n",
    "shop/middle.py": "class LogMiddleware:\n    def __call__(self): ...\nclass BadMiddleware: ...\n",
    "shop/views.py": "def index(request): ...\ndef helper(item): ...\n",
    "shop/other.py": "def routed(request): ...\ndef get_user(request): ...\n",
    "shop/urls.py": 'from django.urls import path\nfrom shop import other\np = [path("x/", other.routed)]\n',
    "shop/tags.py": (
        "@register.filter(is_safe=True)\ndef upper(x): ...\n"
        "@register.tag('if')\ndef do_if(p, t): ...\n"
        "@register.simple_tag(name='now')\ndef show_now(): ...\n"
        "@registry.filter\ndef none(x): ...\n"
    ),
    "shop/fixtures.py": (
        "@pytest.fixture(scope='session')\ndef box(): ...\n@fixture(name='lid')\ndef lid_(): ...\n"
        "@fixtures.fixture\ndef no(): ...\n"
    ),
    "shop/mix.py": "class SortMixin: ...\n",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Role and name of everything in a shop."""
    root: Path = tmp_path_factory.mktemp("roles")
    (root / "shop").mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    distribution = Distribution(name="Shop", version="1.0", packages=("shop",))
    indexed = sources.index(SourceTree(root, ["shop"]), (distribution,))
    return {(role, name) for role, _, name in Roles(indexed).all()}


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("model", {"Base", "Item"}),
        ("exception", {"Wrong", "VeryWrong"}),
        ("middleware", {"LogMiddleware"}),
        ("view", {"index", "routed"}),
        ("template filter", {"upper"}),
        ("template tag", {"if", "now"}),
        ("fixture", {"box", "lid"}),
        ("mixin", {"SortMixin"}),
    ],
)
def test_a_role_is_held_by_exactly_these(found: set[tuple[str, str]], role: str, names: set[str]) -> None:
    """However far up the base is; a class of the same name elsewhere does not count."""
    assert {name for held, name in found if held == role} == names


def test_sphinx_and_pytest_have_what_they_are_known_for() -> None:
    """Directives and fixtures as installed."""
    indexed = sources.read(["Sphinx", "pytest"])
    held = {(role, name) for role, _, name in Roles(indexed).all()}
    assert {("directive", "TocTree"), ("fixture", "monkeypatch"), ("fixture", "tmp_path")} <= held
