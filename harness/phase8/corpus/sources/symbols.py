"""What sources define, as plain values: distributions, Python symbols, files that are not Python, and their parts."""

from typing import Literal

from phase8.core.values import Frozen

SymbolKind = Literal["class", "function", "async function", "constant"]
AssetKind = Literal["template", "stylesheet", "script"]
PartKind = Literal[
    "url pattern",
    "url name",
    "block",
    "extends",
    "include",
    "element id",
    "css rule",
    "script function",
    "fetch call",
]


class Distribution(Frozen):
    """An installed distribution and its top-level packages."""

    name: str
    version: str
    packages: tuple[str, ...]


class Symbol(Frozen):
    """Something a Python file defines; ``owner`` is the class of a method.

    ``bases`` are dotted names with imports resolved, such as ``django.db.models.Model``; ``signature`` and
    ``decorators`` are as Python writes them, ``first_parameter`` is the name of a function's first one.
    """

    distribution: str
    version: str
    kind: SymbolKind
    name: str
    file: str
    line: int
    end_line: int
    owner: str | None = None
    signature: str = ""
    first_parameter: str = ""
    bases: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    docstring: str = ""


class Asset(Frozen):
    """A template, stylesheet or script that a distribution ships."""

    distribution: str
    version: str
    kind: AssetKind
    file: str


class Part(Frozen):
    """A named thing inside a file that is no Python symbol: a route, a template block, a CSS rule ...

    ``name`` is the route, the name of the block, the other template, the id, the selector or the function.
    """

    distribution: str
    version: str
    kind: PartKind
    name: str
    file: str
    line: int
    signature: str = ""
