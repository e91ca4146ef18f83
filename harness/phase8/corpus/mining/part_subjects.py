"""What tool queries are about inside templates, stylesheets, scripts and URL modules."""

from collections.abc import Iterator

from phase8.corpus.mining.subject import Subject, make_subject
from phase8.corpus.mining.templates import About
from phase8.corpus.sources.distributions import Sources
from phase8.corpus.sources.symbols import Part, PartKind

_ABOUT: dict[PartKind, About] = {
    "url pattern": "url pattern",
    "url name": "url name",
    "block": "block",
    "extends": "parent template",
    "include": "included template",
    "element id": "element id",
    "css rule": "css rule",
    "script function": "script function",
    "fetch call": "fetch call",
}
# A name stands in a shell word and in a search pattern: what means something there cannot be asked about.
_UNSAFE = frozenset("'\"\\`$")


def part_subjects(sources: Sources) -> list[Subject]:
    """One subject for each name, at its first place, with the number of its places and of their files."""
    places: dict[tuple[About, str], list[Part]] = {}
    for part in sources.parts:
        if part.name and not _UNSAFE & set(part.name):
            places.setdefault((_ABOUT[part.kind], part.name), []).append(part)
    found = [_of_places(about, name, parts) for (about, name), parts in places.items()]
    return [*found, *_url_modules(sources), *_calling_scripts(sources)]


def _of_places(about: About, name: str, parts: list[Part]) -> Subject:
    counts = {"places": len(parts), "files": len({part.file for part in parts})}
    return make_subject(about, name, parts[0], name, parts[0].line, **counts)


def _url_modules(sources: Sources) -> Iterator[Subject]:
    """Python files with routes, and how many."""
    routes: dict[str, list[Part]] = {}
    for part in sources.parts:
        if part.kind == "url pattern":
            routes.setdefault(part.file, []).append(part)
    for file, parts in routes.items():
        yield make_subject("url module", file, parts[0], "", 1, places=len(parts))


def _calling_scripts(sources: Sources) -> Iterator[Subject]:
    """Scripts that send requests, with the way they do it and how often."""
    calls: dict[tuple[str, str], list[Part]] = {}
    for part in sources.parts:
        if part.kind == "fetch call":
            calls.setdefault((part.file, part.name), []).append(part)
    for (file, name), parts in calls.items():
        yield make_subject("calling script", file, parts[0], name, parts[0].line, places=len(parts))
