"""What tool queries are about: symbols, files and folders of the sources, with their template fields."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from harness.example import Provenance
from harness.frozen import Frozen
from harness.phrasings import About
from harness.sources import Asset, Sources, Symbol

_SHORTEST_NAME = 4


class Subject(Frozen):
    """Something that can be asked about. ``group`` keeps all questions about it in one split."""

    about: About
    group: str
    fields: dict[str, str | int]
    distribution: str
    version: str
    file: str
    line: int
    symbol: str

    @property
    def length(self) -> int:
        """Characters that a question about it cannot do without."""
        return len(self.symbol) + len(self.file)

    def provenance(self, phrasing: str) -> Provenance:
        """The origin of an example about this subject."""
        return Provenance(
            distribution=self.distribution,
            version=self.version,
            file=self.file,
            line=self.line,
            symbol=self.symbol,
            phrasing=phrasing,
        )


def subjects(sources: Sources) -> list[Subject]:
    """Everything worth asking about, shortest first."""
    found = [*_symbols(sources), *_decorators(sources), *_modules(sources), *_assets(sources), *_folders(sources)]
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
    return _subject(about, symbol.name, symbol, symbol.name, symbol.line)


def _decorators(sources: Sources) -> Iterator[Subject]:
    """Plain decorators that are used; the place is that of their first use."""
    seen: set[str] = set()
    for symbol in sources.symbols:
        for text in symbol.decorators:
            name = text.partition("(")[0]
            if name not in seen and len(name) >= _SHORTEST_NAME:
                seen.add(name)
                yield _subject("decorator", f"@{name}", symbol, name, symbol.line)


def _modules(sources: Sources) -> Iterator[Subject]:
    """Python files, with the number of their top-level classes and functions."""
    defined: dict[str, list[Symbol]] = {}
    for symbol in sources.symbols:
        if symbol.owner is None:
            defined.setdefault(symbol.file, []).append(symbol)
    for file, symbols in defined.items():
        kinds = Counter(symbol.kind for symbol in symbols)
        counts = {"classes": kinds["class"], "functions": kinds["function"] + kinds["async function"]}
        yield _subject("module", file, symbols[0], "", 1, **counts)


def _assets(sources: Sources) -> Iterator[Subject]:
    names = Counter(PurePosixPath(asset.file).name for asset in sources.assets)
    for asset in sources.assets:
        yield _subject(asset.kind, asset.file, asset, "", 1)
        if names[PurePosixPath(asset.file).name] == 1:
            yield _subject("asset", asset.file, asset, "", 1)


def _folders(sources: Sources) -> Iterator[Subject]:
    kinds: dict[str, About] = {
        "template": "template folder",
        "script": "script folder",
        "stylesheet": "stylesheet folder",
    }
    seen: set[tuple[str, str]] = set()
    origins: list[tuple[About, Symbol | Asset]] = [("folder", symbol) for symbol in sources.symbols]
    origins += [(kinds[asset.kind], asset) for asset in sources.assets]
    for about, origin in origins:
        for parent in map(str, PurePosixPath(origin.file).parents):
            if parent != "." and (about, parent) not in seen:
                seen.add((about, parent))
                placed = origin.model_copy(update={"file": parent})
                yield _subject(about, parent, placed, "", 1)


def _subject(about: About, group: str, origin: Symbol | Asset, name: str, line: int, **counts: int) -> Subject:
    path = PurePosixPath(origin.file)
    fields = {
        "name": name,
        "file": origin.file,
        "line": line,
        "top": path.parts[0],
        "dist": origin.distribution,
        "base": path.name,
        "one": 1,
    }
    return Subject(
        about=about,
        group=group,
        fields=fields | counts,
        distribution=origin.distribution,
        version=origin.version,
        file=origin.file,
        line=line,
        symbol=name or origin.file,
    )
