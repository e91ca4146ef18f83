"""The installed source distributions that examples are mined from, and an index of what they define."""

import ast
import importlib.metadata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.errors import InvalidInput
from harness.frozen import Frozen
from harness.tree import SourceTree

SymbolKind = Literal["class", "function", "async function", "constant"]
AssetKind = Literal["template", "stylesheet", "script"]
_ASSETS: dict[str, AssetKind] = {".html": "template", ".jinja": "template", ".css": "stylesheet", ".js": "script"}
_SKIPPED = frozenset({"tests", "locale", "migrations", "vendor", "minified-js", "_vendor"})


class Distribution(Frozen):
    """An installed distribution and its top-level packages."""

    name: str
    version: str
    packages: tuple[str, ...]


class Symbol(Frozen):
    """Something a Python file defines; ``owner`` is the class of a method."""

    distribution: str
    version: str
    kind: SymbolKind
    name: str
    file: str
    line: int
    end_line: int
    owner: str | None = None
    signature: str = ""
    decorators: tuple[str, ...] = ()
    docstring: str = ""


class Asset(Frozen):
    """A template, stylesheet or script that a distribution ships."""

    distribution: str
    version: str
    kind: AssetKind
    file: str


@dataclass(frozen=True)
class Sources:
    """The distributions, their source tree and the index of it, in the order of the files."""

    distributions: tuple[Distribution, ...]
    tree: SourceTree
    symbols: tuple[Symbol, ...]
    assets: tuple[Asset, ...]

    def owner(self, file: str) -> Distribution:
        """The distribution that a file of the tree belongs to."""
        top = PurePosixPath(file).parts[0]
        return next(d for d in self.distributions if top in d.packages)


def read(names: Iterable[str]) -> Sources:
    """Find the distributions and index their sources, leaving out tests.

    Raises:
        InvalidInput: one is not installed, has no Python package, or lies in another folder.
    """
    found = [_installed(name) for name in names]
    if not found:
        raise InvalidInput('corpus.distributions is empty. Name at least one, such as ["Flask"].')
    roots = sorted({str(root) for root, _ in found})
    if len(roots) > 1:
        raise InvalidInput(f"corpus.distributions lie in {', '.join(roots)}. Install them into one environment.")
    distributions = tuple(distribution for _, distribution in found)
    tree = SourceTree(Path(roots[0]), (package for d in distributions for package in d.packages))
    return index(tree, distributions)


def index(tree: SourceTree, distributions: tuple[Distribution, ...]) -> Sources:
    """The symbols and assets of a tree, leaving out tests, translations and vendored files."""
    symbols: list[Symbol] = []
    assets: list[Asset] = []
    by_package = {package: d for d in distributions for package in d.packages}
    for file in tree.files:
        path = PurePosixPath(file)
        if _SKIPPED & set(path.parts) or path.name.startswith("test_") or ".min." in path.name:
            continue
        distribution = by_package[path.parts[0]]
        if path.suffix == ".py":
            symbols += _symbols(tree.text(file), file, distribution)
        elif path.suffix in _ASSETS:
            kind = _ASSETS[path.suffix]
            assets.append(Asset(distribution=distribution.name, version=distribution.version, kind=kind, file=file))
    return Sources(distributions=distributions, tree=tree, symbols=tuple(symbols), assets=tuple(assets))


def _installed(name: str) -> tuple[Path, Distribution]:
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise InvalidInput(f"corpus.distributions: {name} is not installed. Run: uv pip install {name}") from error
    modules = [file for file in found.files or () if file.suffix == ".py" and ".." not in file.parts]
    packages = sorted({file.parts[0] for file in modules if file.parts[0].removesuffix(".py").isidentifier()})
    if not packages:
        raise InvalidInput(f"corpus.distributions: {name} has no Python files. Reinstall it, not as an editable.")
    root = Path(str(found.locate_file(""))).resolve()
    return root, Distribution(name=name, version=found.version, packages=tuple(packages))


def _symbols(text: str, file: str, distribution: Distribution) -> Iterator[Symbol]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # old escapes in other people's strings
        try:
            module = ast.parse(text)
        except SyntaxError:
            return  # a file for another Python version defines nothing here
    for node in module.body:
        yield from _symbol(node, file, distribution, None)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from _symbol(inner, file, distribution, node.name)


def _symbol(node: ast.stmt, file: str, distribution: Distribution, owner: str | None) -> Iterator[Symbol]:
    symbol = partial(
        Symbol,
        distribution=distribution.name,
        version=distribution.version,
        file=file,
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        owner=owner,
    )
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield symbol(
            kind=_KINDS[type(node)],
            name=node.name,
            signature=_signature(node),
            decorators=tuple(ast.unparse(decorator) for decorator in node.decorator_list),
            docstring=ast.get_docstring(node) or "",
        )
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper():
                yield symbol(kind="constant", name=target.id)


_KINDS: dict[type, SymbolKind] = {
    ast.ClassDef: "class",
    ast.FunctionDef: "function",
    ast.AsyncFunctionDef: "async function",
}


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}({', '.join(ast.unparse(base) for base in node.bases)})"
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{word} {node.name}({ast.unparse(node.args)})"
