"""What a closing answer claims about an executed call, read from its words, and whether the output bears it out.

The words are all there is to go by: the templates that wrote an answer are not known here. Every number must be
a line or a count of the output in digits, every path the one that was found or searched, every name a whole one
that was seen.
"""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from phase8.chat.formats import Call

_PATH = r"(?:[\w.@+-]+/)+[\w.@+-]*|[\w@+-][\w.@+-]*\.(?:py|html|htm|css|js|txt|jinja2?|rst|toml|cfg|json|xml|svg|md)\b"
_PLACED = re.compile(r"(?P<path>[^:\n]+):(?P<line>\d+):")
_NUMBERED = re.compile(r"(?P<line>\d+):")
_COUNTED = re.compile(r"(?:(?P<path>[^:\n]+):)?(?P<count>\d+)")
_CLAIMED_PATH = re.compile(rf"(?<![\w/]){_PATH}")
_CLAIMED_LINES = re.compile(r"\blines? (\d+)(?:(?: to | and |-|–)(\d+))?", re.IGNORECASE)
_CLAIMED_COUNT = re.compile(r"\b(\d+)\b(?: (?:python |html |css |javascript )?([a-z]+))?", re.IGNORECASE)
_CLAIMED_PLACE = re.compile(r"\b(?:in|below|under) ([\w@+-]+)(?=[.,;]|$)")
_CLAIMED_NAME = re.compile(r"`([^`]+)`|\b(?=\w*(?:[a-z][A-Z]|[A-Za-z]_[A-Za-z]))\w+")
_NUMBER_WORD = re.compile(
    r"\b(?:zero|one(?! of\b)|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|"
    r"eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozens?|hundreds?|thousands?|millions?)\b",
    re.IGNORECASE,
)
_FILES = ("file", "template", "script", "stylesheet", "module")


class Claim(NamedTuple):
    """One thing that an answer says, and what the output says instead where it is not true."""

    said: str
    expected: str
    true: bool


class Seen(NamedTuple):
    """What an executed call shows: its rows, with path and line where a row starts with them, and counts."""

    rows: tuple[str, ...]
    paths: tuple[str, ...]
    lines: tuple[int, ...]
    total: int
    searched: tuple[str, ...]


def claims(answer: str, call: Call, output: str) -> list[Claim]:
    """Everything that an answer claims; nothing where it has no number, path or name."""
    seen = look(call, output)
    return [*_paths(answer, seen), *_names(answer, call, output), *_numbers(_CLAIMED_PATH.sub("", answer), seen)]


def look(call: Call, output: str) -> Seen:
    """Read an output as what its call prints: places, paths, counts or text."""
    rows = tuple(output.split("\n")) if output else ()
    command = shlex.split(str(call.arguments.get("command", "")))
    searched = (*command[1:], *(str(v) for k, v in call.arguments.items() if k == "path"))
    if call.name != "run_command":
        first = int(call.arguments.get("start", 1))
        lines = tuple(range(first, first + len(rows))) if call.name == "read_file" else ()
        return Seen(rows, rows if call.name == "list_directory" else (), lines, len(rows), searched)
    flags = "".join(word[1:] for word in command[1:] if re.fullmatch(r"-[A-Za-z]+", word))
    if command[0] == "find" or "l" in flags:
        return Seen(rows, rows, (), len(rows), searched)
    if "c" in flags:
        counts = [found for row in rows if (found := _COUNTED.fullmatch(row))]
        return Seen(rows, _found(counts, "path"), (), sum(int(m["count"]) for m in counts), searched)
    placed = [_PLACED.match(row) or _NUMBERED.match(row) for row in rows]
    matches = [found for found in placed if found]
    paths = _found([found for found in matches if "path" in found.re.groupindex], "path")
    return Seen(rows, paths, tuple(int(m["line"]) for m in matches), len(rows), searched)


def _found(matches: list[re.Match[str]], group: str) -> tuple[str, ...]:
    return tuple(match[group] for match in matches if match[group])


def _paths(answer: str, seen: Seen) -> Iterator[Claim]:
    """The first path said must be the first found or one that was searched; others must be among those found."""
    for place, said in enumerate(m[0].rstrip(".") for m in _CLAIMED_PATH.finditer(answer)):
        allowed = {path.rstrip("/") for path in (*(seen.paths if place else seen.paths[:1]), *seen.searched)}
        yield Claim(said, seen.paths[0] if seen.paths else " ".join(seen.searched), said.rstrip("/") in allowed)


def _names(answer: str, call: Call, output: str) -> Iterator[Claim]:
    """Names in code must stand in the call or its output, and a folder that was searched in its call.

    A number in words is refused: only digits are held against the output.
    """
    known = "\n".join([*map(str, call.arguments.values()), output])
    rest = _CLAIMED_PATH.sub("", answer)
    for match in _CLAIMED_NAME.finditer(rest):
        said = match[1] or match[0]
        whole = rf"(?!\B\w){re.escape(said)}(?<!\w\B)"  # where it begins or ends with a word, that word is whole
        yield Claim(said, "a name in the call or its output", re.search(whole, known) is not None)
    for match in _CLAIMED_PLACE.finditer(rest):
        said = match[1]
        yield Claim(said, "a place in the call", re.search(rf"(?<![\w-]){re.escape(said)}(?![\w-])", known) is not None)
    for match in _NUMBER_WORD.finditer(_CLAIMED_PLACE.sub("", _CLAIMED_NAME.sub("", rest))):
        yield Claim(match[0], "a number in digits", False)


def _numbers(answer: str, seen: Seen) -> Iterator[Claim]:
    for match in _CLAIMED_LINES.finditer(answer):
        first, last = int(match[1]), int(match[2] or match[1])
        shown = seen.lines[0] if seen.lines else None
        end = seen.lines[-1] if match[2] and seen.lines else shown
        yield Claim(
            match[0], f"line {shown}" if shown == end else f"lines {shown} to {end}", (first, last) == (shown, end)
        )
    for match in _CLAIMED_COUNT.finditer(_CLAIMED_LINES.sub("", answer)):
        noun = (match[2] or "").lower()
        expected = len(set(seen.paths)) if noun.startswith(_FILES) and seen.paths else seen.total
        yield Claim(match[0], str(expected), int(match[1]) == expected)
