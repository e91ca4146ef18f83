"""The installed source distributions that examples are mined from, and an index of what they define."""

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from phase8.core.errors import InvalidInput
from phase8.corpus.sources.asset_index import index_asset
from phase8.corpus.sources.python_index import index_python
from phase8.corpus.sources.symbols import Asset, AssetKind, Distribution, Part, Symbol
from phase8.corpus.tools.tree import SourceTree

_ASSETS: dict[str, AssetKind] = {".html": "template", ".jinja": "template", ".css": "stylesheet", ".js": "script"}
_SKIPPED = frozenset({"tests", "locale", "migrations", "vendor", "minified-js", "_vendor"})


@dataclass(frozen=True)
class Sources:
    """The distributions, their source tree and the index of it, in the order of the files."""

    distributions: tuple[Distribution, ...]
    tree: SourceTree
    symbols: tuple[Symbol, ...]
    assets: tuple[Asset, ...]
    parts: tuple[Part, ...]

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
    """The symbols, assets and parts of a tree, leaving out tests, translations and vendored files."""
    symbols: list[Symbol] = []
    assets: list[Asset] = []
    parts: list[Part] = []
    by_package = {package: d for d in distributions for package in d.packages}
    for file in tree.files:
        path = PurePosixPath(file)
        if _SKIPPED & set(path.parts) or path.name.startswith("test_") or ".min." in path.name:
            continue
        distribution = by_package[path.parts[0]]
        if path.suffix == ".py":
            defined, routes = index_python(tree.text(file), file, distribution)
            symbols += defined
            parts += routes
        elif path.suffix in _ASSETS:
            kind = _ASSETS[path.suffix]
            assets.append(Asset(distribution=distribution.name, version=distribution.version, kind=kind, file=file))
            parts += index_asset(tree.text(file), assets[-1])
    return Sources(distributions, tree, tuple(symbols), tuple(assets), tuple(parts))


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
