"""What a Python file defines, read with ``ast``: symbols, their resolved bases, and Django's URL patterns."""

import ast
import builtins
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import PurePosixPath

from phase8.corpus.sources.symbols import Distribution, Part, Symbol, SymbolKind

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_KINDS: dict[type, SymbolKind] = {
    ast.ClassDef: "class",
    ast.FunctionDef: "function",
    ast.AsyncFunctionDef: "async function",
}
_ROUTES = frozenset(["django.urls.path", "django.urls.re_path"])


def index_python(text: str, file: str, distribution: Distribution) -> tuple[list[Symbol], list[Part]]:
    """The symbols and URL patterns of a file, in its order; none where it does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # old escapes in other people's strings
        try:
            module = ast.parse(text)
        except SyntaxError:
            return [], []  # a file for another Python version defines nothing here
    names = _module_names(module, file)
    symbols: list[Symbol] = []
    for node in module.body:
        symbols += _symbol(node, file, distribution, names, None)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    symbols += _symbol(inner, file, distribution, names, node.name)
    routed = "path(" in text and "django.urls" in text  # walking a whole file is slow, and few have routes
    return symbols, list(_url_patterns(module, file, distribution)) if routed else []


def dotted(node: ast.expr) -> str:
    """A name or attribute as ``a.b.c``; empty for any other expression. A call counts as what it calls."""
    if isinstance(node, ast.Call | ast.Subscript):
        return dotted(node.func if isinstance(node, ast.Call) else node.value)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def _module_names(module: ast.Module, file: str) -> dict[str, str]:
    """The dotted names that a module's imports and classes stand for."""
    package = ".".join(PurePosixPath(file).with_suffix("").parts)
    classes = {node.name: f"{package}.{node.name}" for node in module.body if isinstance(node, ast.ClassDef)}
    return _imports(_statements(module.body), file) | classes


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those below ``if`` and ``try`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _imports(nodes: Iterable[ast.AST], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            whole = [(alias.asname, alias.name) for alias in node.names]
            found |= {short: name for short, name in whole if short}
            found |= {name.partition(".")[0]: name.partition(".")[0] for short, name in whole if not short}
        elif isinstance(node, ast.ImportFrom):
            above = PurePosixPath(file).parts[: -node.level] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
    return found


def _resolved(node: ast.expr, names: dict[str, str]) -> str:
    first, dot, rest = dotted(node).partition(".")
    if first not in names and hasattr(builtins, first):
        return f"builtins.{first}"
    return f"{names.get(first, first)}{dot}{rest}"


def _symbol(
    node: ast.stmt, file: str, distribution: Distribution, names: dict[str, str], owner: str | None
) -> Iterator[Symbol]:
    symbol = partial(
        Symbol,
        distribution=distribution.name,
        version=distribution.version,
        file=file,
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        owner=owner,
    )
    if isinstance(node, _Definition):
        is_class = isinstance(node, ast.ClassDef)
        yield symbol(
            kind=_KINDS[type(node)],
            name=node.name,
            signature=_signature(node),
            first_parameter="" if is_class else _first_parameter(node.args),
            bases=tuple(_resolved(base, names) for base in node.bases) if is_class else (),
            decorators=tuple(ast.unparse(decorator) for decorator in node.decorator_list),
            docstring=ast.get_docstring(node) or "",
        )
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper():
                yield symbol(kind="constant", name=target.id)


def _first_parameter(arguments: ast.arguments) -> str:
    return next((argument.arg for argument in (*arguments.posonlyargs, *arguments.args)), "")


def _signature(node: _Definition) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}({', '.join(ast.unparse(base) for base in node.bases)})"
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{word} {node.name}({ast.unparse(node.args)})"


def _url_patterns(module: ast.Module, file: str, distribution: Distribution) -> Iterator[Part]:
    """Calls of Django's ``path`` and ``re_path`` with their route, and the names they give."""
    names = _imports(ast.walk(module), file)
    part = partial(Part, distribution=distribution.name, version=distribution.version, file=file)
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call) and _resolved(node, names) in _ROUTES]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        view = ast.unparse(call.args[1]) if len(call.args) > 1 else ""
        if call.args and (route := _text(call.args[0])) is not None:
            yield part(kind="url pattern", name=route, line=call.args[0].lineno, signature=view)
        for keyword in call.keywords:
            if keyword.arg == "name" and (name := _text(keyword.value)):
                yield part(kind="url name", name=name, line=keyword.value.lineno, signature=view)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
