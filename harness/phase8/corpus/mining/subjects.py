"""What tool queries are about: symbols, files and folders of the sources, with their template fields."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from phase8.corpus.mining.part_subjects import part_subjects
from phase8.corpus.mining.subject import Subject, make_subject
from phase8.corpus.mining.templates import About
from phase8.corpus.sources.code_roles import Roles
from phase8.corpus.sources.distributions import Sources
from phase8.corpus.sources.symbols import Asset, Symbol

_SHORTEST_NAME = 4
_CODE_FOLDERS: tuple[About, ...] = ("folder", "code folder")
_WORDS = {"class": "class", "function": "def", "async function": "async def", "constant": ""}


def subjects(sources: Sources) -> list[Subject]:
    """Everything worth asking about, shortest first."""
    found = [*_symbols(sources), *_decorators(sources), *_modules(sources), *_assets(sources), *_folders(sources)]
    found += [*_roles(sources), *_methods(sources), *part_subjects(sources)]
    return sorted(found, key=lambda s: (s.about, s.length, s.file, s.line, s.symbol))


def public(sources: Sources) -> list[Symbol]:
    """The module-level symbols whose name is public and unique."""
    names = Counter(symbol.name for symbol in sources.symbols)
    return [
        symbol
        for symbol in sources.symbols
        if symbol.owner is None
        and names[symbol.name] == 1
        and not symbol.name.startswith("_")
        and len(symbol.name) >= _SHORTEST_NAME
    ]


def _symbols(sources: Sources) -> Iterator[Subject]:
    bases = {base for s in sources.symbols if s.kind == "class" for base in _plain_bases(s)}
    for symbol in public(sources):
        yield _of_symbol(symbol, "symbol")
        if symbol.kind == "class":
            yield _of_symbol(symbol, "class")
            if symbol.name in bases:
                yield _of_symbol(symbol, "base class")
        elif symbol.kind == "constant":
            yield _of_symbol(symbol, "constant")
        else:
            yield _of_symbol(symbol, "coroutine" if symbol.kind == "async function" else "function")


def _plain_bases(symbol: Symbol) -> list[str]:
    node = ast.parse(f"{symbol.signature}: ...").body[0]
    return [base.id for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]


def _of_symbol(symbol: Symbol, about: About) -> Subject:
    return make_subject(about, symbol.name, symbol, symbol.name, symbol.line)


def _roles(sources: Sources) -> Iterator[Subject]:
    """Views, models, fixtures ... by the name that they are known by, with the keyword that defines them."""
    unique = {(symbol.file, symbol.line) for symbol in public(sources)}
    for role, symbol, name in Roles(sources).all():
        if (symbol.file, symbol.line) in unique and len(name) >= _SHORTEST_NAME:
            yield make_subject(role, symbol.name, symbol, name, symbol.line, word=_WORDS[symbol.kind])


def _methods(sources: Sources) -> Iterator[Subject]:
    """Public methods whose name nothing else has; they belong to the topic of their class."""
    names = Counter(symbol.name for symbol in sources.symbols)
    for symbol in sources.symbols:
        unique = names[symbol.name] == 1 and len(symbol.name) >= _SHORTEST_NAME
        if symbol.owner and unique and not symbol.name.startswith("_") and not symbol.owner.startswith("_"):
            yield make_subject("method", symbol.owner, symbol, symbol.name, symbol.line, owner=symbol.owner)


def _decorators(sources: Sources) -> Iterator[Subject]:
    """Plain decorators that are used; the place is that of their first use."""
    seen: set[str] = set()
    for symbol in sources.symbols:
        for text in symbol.decorators:
            name = text.partition("(")[0]
            if name not in seen and len(name) >= _SHORTEST_NAME:
                seen.add(name)
                yield make_subject("decorator", f"@{name}", symbol, name, symbol.line)


def _modules(sources: Sources) -> Iterator[Subject]:
    """Python files, with the number of their classes, functions and methods."""
    defined: dict[str, list[Symbol]] = {}
    methods = Counter(symbol.file for symbol in sources.symbols if symbol.owner)
    for symbol in sources.symbols:
        if symbol.owner is None:
            defined.setdefault(symbol.file, []).append(symbol)
    for file, symbols in defined.items():
        kinds = Counter(symbol.kind for symbol in symbols)
        counts = {"classes": kinds["class"], "functions": kinds["function"] + kinds["async function"]}
        counts["methods"] = methods[file]
        yield make_subject("module", file, symbols[0], "", 1, **counts)


def _assets(sources: Sources) -> Iterator[Subject]:
    """Templates, stylesheets and scripts, with the number of blocks, rules and functions in them."""
    names = Counter(PurePosixPath(asset.file).name for asset in sources.assets)
    parts = Counter((part.file, part.kind) for part in sources.parts)
    for asset in sources.assets:
        blocks, rules = parts[asset.file, "block"], parts[asset.file, "css rule"]
        functions = parts[asset.file, "script function"]
        yield make_subject(asset.kind, asset.file, asset, "", 1, blocks=blocks, rules=rules, functions=functions)
        if names[PurePosixPath(asset.file).name] == 1:
            yield make_subject("asset", asset.file, asset, "", 1)


def _folders(sources: Sources) -> Iterator[Subject]:
    kinds: dict[str, About] = {
        "template": "template folder",
        "script": "script folder",
        "stylesheet": "stylesheet folder",
    }
    seen: set[tuple[str, str]] = set()
    origins: list[tuple[About, Symbol | Asset]] = [(about, s) for s in sources.symbols for about in _CODE_FOLDERS]
    origins += [(kinds[asset.kind], asset) for asset in sources.assets]
    for about, origin in origins:
        for parent in map(str, PurePosixPath(origin.file).parents):
            if parent != "." and (about, parent) not in seen:
                seen.add((about, parent))
                placed = origin.model_copy(update={"file": parent})
                yield make_subject(about, parent, placed, "", 1)
