"""Python files are read as Python reads them: resolved bases, parameters, routes."""

import pytest

from phase8.corpus.sources.python_index import index_python
from phase8.corpus.sources.symbols import Distribution, Part, Symbol

SHOP = Distribution(name="Shop", version="1.0", packages=("shop",))
CODE = """
import django.forms
import os.path as where
from django.db import models
from django.urls import path, re_path as old
from .base import Thing
try:
    from flask.views import View
except ImportError:
    pass

class Item(models.Model, Thing): ...
class Small(Item): ...
class Order(django.forms.Form): ...
class Broken(ValueError): ...
class Page(View): ...
class Many(Thing[int]): ...

def show(request, item_id): ...
def nothing(*, key): ...

urlpatterns = [
    path("items/", Page.as_view(), name="items"),
    old(
        r"^old/$",
        show,
    ),
    where.join("a", "b"),
]
"""


@pytest.fixture(scope="module")
def indexed() -> tuple[list[Symbol], list[Part]]:
    """One module of a shop."""
    return index_python(CODE, "shop/items.py", SHOP)


def test_bases_are_resolved_through_imports(indexed: tuple[list[Symbol], list[Part]]) -> None:
    """Absolute, relative, renamed, conditional and subscripted ones, and those of the module and of Python."""
    bases = {symbol.name: symbol.bases for symbol in indexed[0] if symbol.kind == "class"}
    assert bases == {
        "Item": ("django.db.models.Model", "shop.base.Thing"),
        "Small": ("shop.items.Item",),
        "Order": ("django.forms.Form",),
        "Broken": ("builtins.ValueError",),
        "Page": ("flask.views.View",),
        "Many": ("shop.base.Thing",),
    }


def test_a_function_knows_its_first_parameter(indexed: tuple[list[Symbol], list[Part]]) -> None:
    """Keyword-only ones do not count."""
    assert {s.name: s.first_parameter for s in indexed[0] if s.kind == "function"} == {"show": "request", "nothing": ""}


def test_routes_are_calls_of_djangos_functions_only(indexed: tuple[list[Symbol], list[Part]]) -> None:
    """Each with the line of its text and its view; ``os.path.join`` is no route."""
    found = [(part.kind, part.name, part.line, part.signature) for part in indexed[1]]
    assert found == [
        ("url pattern", "items/", 23, "Page.as_view()"),
        ("url name", "items", 23, "Page.as_view()"),
        ("url pattern", "^old/$", 25, "show"),
    ]


def test_a_file_that_does_not_parse_defines_nothing() -> None:
    """It is written for another Python."""
    assert index_python("def (:\n", "shop/broken.py", SHOP) == ([], [])
