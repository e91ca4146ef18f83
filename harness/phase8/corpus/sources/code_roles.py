"""What a symbol is to its framework: a view, a model, a middleware, a fixture ..., told from resolved bases."""

import ast
import builtins
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from phase8.corpus.sources.distributions import Sources
from phase8.corpus.sources.python_index import dotted
from phase8.corpus.sources.symbols import Symbol

Role = Literal[
    "exception",
    "mixin",
    "view",
    "model",
    "form",
    "middleware",
    "template tag",
    "template filter",
    "directive",
    "fixture",
]
# Classes by package and name, since frameworks export them from other modules than they define them in.
_ROOTS: dict[tuple[str, str], Role] = {
    ("django", "Model"): "model",
    ("django", "BaseForm"): "form",
    ("django", "View"): "view",
    ("flask", "View"): "view",
    ("starlette", "HTTPEndpoint"): "view",
    ("django", "MiddlewareMixin"): "middleware",
    ("starlette", "BaseHTTPMiddleware"): "middleware",
    ("docutils", "Directive"): "directive",
    ("sphinx", "SphinxDirective"): "directive",
}
_TAGS = frozenset(["tag", "simple_tag", "inclusion_tag", "simple_block_tag"])


class Roles:
    """The roles of the module-level symbols of some sources."""

    def __init__(self, sources: Sources) -> None:
        self._symbols = [symbol for symbol in sources.symbols if symbol.owner is None]
        self._calling = {(s.file, s.owner) for s in sources.symbols if s.owner and s.name == "__call__"}
        # The last name of each view that a route names, as in path("x/", views.x) or views.X.as_view().
        routed = [part.signature for part in sources.parts if part.kind == "url pattern"]
        self._routed = {word for view in routed for word in view.partition("(")[0].split(".")}

    def all(self) -> Iterator[tuple[Role, Symbol, str]]:
        """Every role with its symbol and the name it is known by, in the order of the files."""
        for symbol in self._symbols:
            if symbol.kind == "class":
                for role in sorted(self._of_class(symbol)):
                    yield role, symbol, symbol.name
            elif symbol.kind != "constant":
                yield from self._of_function(symbol)

    def _of_class(self, symbol: Symbol) -> set[Role]:
        found = set(self._inherited.get(_key(symbol), ()))
        if symbol.name.endswith("Mixin"):
            found.add("mixin")
        # ASGI middleware needs no base class: it is a callable that wraps the next one.
        if symbol.name.endswith("Middleware") and (symbol.file, symbol.name) in self._calling:
            found.add("middleware")
        return found

    def _of_function(self, symbol: Symbol) -> Iterator[tuple[Role, Symbol, str]]:
        if symbol.first_parameter == "request" and self._is_view(symbol):
            yield "view", symbol, symbol.name
        for text in symbol.decorators:
            node = ast.parse(text, mode="eval").body
            target = dotted(node)
            holder, _, registered = target.rpartition(".")
            if target in ("fixture", "pytest.fixture"):
                yield "fixture", symbol, _given_name(node, positional=False) or symbol.name
            elif holder == "register" and (registered == "filter" or registered in _TAGS):
                role: Role = "template filter" if registered == "filter" else "template tag"
                yield role, symbol, _given_name(node, positional=registered in ("filter", "tag")) or symbol.name

    def _is_view(self, symbol: Symbol) -> bool:
        path = PurePosixPath(symbol.file).with_suffix("")
        return "views" in path.parts or symbol.name in self._routed

    @cached_property
    def _inherited(self) -> dict[tuple[str, str], frozenset[Role]]:
        """The roles that classes have from their bases, however far up."""
        bases: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for symbol in self._symbols:
            bases.setdefault(_key(symbol), set()).update(map(_named, symbol.bases))
        found: dict[tuple[str, str], frozenset[Role]] = {}
        for key, direct in bases.items():
            above: set[tuple[str, str]] = set()
            todo = list(direct)
            while todo:
                base = todo.pop()
                if base not in above:
                    above.add(base)
                    todo += bases.get(base, ())
            roles = {_ROOTS[base] for base in above if base in _ROOTS}
            if any(top == "builtins" and _is_exception(name) for top, name in above):
                roles.add("exception")
            found[key] = frozenset(roles)
        return found


def _key(symbol: Symbol) -> tuple[str, str]:
    return PurePosixPath(symbol.file).parts[0].removesuffix(".py"), symbol.name


def _named(base: str) -> tuple[str, str]:
    return base.partition(".")[0], base.rpartition(".")[2]


def _is_exception(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def _given_name(node: ast.expr, *, positional: bool) -> str | None:
    """The name that a decorator's call gives, as ``name=`` or as its first argument."""
    if not isinstance(node, ast.Call):
        return None
    given = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
    given += node.args[:1] if positional else []
    texts = (value.value for value in given if isinstance(value, ast.Constant))
    return next((text for text in texts if isinstance(text, str)), None)
