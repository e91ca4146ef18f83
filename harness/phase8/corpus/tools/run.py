"""Executes tool calls on a source tree: read-only, confined, the same on every platform."""

import re
import shlex

from phase8.chat.formats import Call
from phase8.corpus.tools.find import find
from phase8.corpus.tools.grep import grep
from phase8.corpus.tools.tree import SourceTree, ToolRefused

MAX_LINES = 400
MAX_CHARACTERS = 40_000
_OPERATORS = frozenset("();<>|&")
_CUT = re.compile(r"\[\+\d+ more\]")
_COMMANDS = {"grep": grep, "find": find}


def run(call: Call, tree: SourceTree) -> str:
    """The output of a tool call, at most ``MAX_LINES`` lines; empty where nothing was found.

    Raises:
        ToolRefused: an unknown tool or argument, a command that is not allowed, a path outside the tree.
    """
    known = {"run_command": _run_command, "read_file": _read_file, "list_directory": _list_directory}
    if call.name not in known:
        raise ToolRefused(f"tool {call.name!r} is unknown. Allowed: {', '.join(known)}.")
    try:
        rows = known[call.name](tree, **call.arguments)
    except TypeError as error:
        raise ToolRefused(f"{call.name}: {sorted(call.arguments)} are not its arguments: {error}") from error
    return shorten("\n".join(rows), MAX_LINES, MAX_CHARACTERS)


def shorten(output: str, lines: int, characters: int) -> str:
    """An output cut to whole lines; ``[+N more]`` says how many are missing, ``...`` that a line was cut."""
    rows = output.split("\n")
    kept: list[str] = []
    for row in rows[:lines]:
        if kept and sum(map(len, kept)) + len(row) > characters:
            break
        kept.append(row if len(row) <= characters else f"{row[:characters]}...")
    missing = len(rows) - len(kept)
    return "\n".join([*kept, f"[+{missing} more]"] if missing else kept)


def is_cut(output: str) -> bool:
    """Whether lines are missing from an output, so that counting it would be wrong."""
    return bool(_CUT.fullmatch(output.rpartition("\n")[2]))


def _run_command(tree: SourceTree, command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise ToolRefused(f"command {command!r} cannot be read: {error}.") from error
    if any(set(word) <= _OPERATORS for word in words if word):
        raise ToolRefused(f"command {command!r} has a shell operator. Give one grep or find command.")
    if not words or words[0] not in _COMMANDS:
        raise ToolRefused(f"command {command!r} is not allowed. Allowed: {', '.join(_COMMANDS)}.")
    return _COMMANDS[words[0]](words[1:], tree)


def _read_file(tree: SourceTree, path: str, start: int = 1, end: int | None = None) -> list[str]:
    found = tree.locate(path)
    if not tree.is_file(found):
        raise ToolRefused(f"read_file: {path!r} is a directory. Use list_directory.")
    lines = tree.lines(found)
    last = len(lines) if end is None else end
    if not 1 <= start <= last or start > len(lines):
        raise ToolRefused(f"read_file: lines {start} to {last} of {path!r}, which has {len(lines)} lines.")
    return lines[start - 1 : last]


def _list_directory(tree: SourceTree, path: str) -> list[str]:
    found = tree.locate(path)
    if tree.is_file(found):
        raise ToolRefused(f"list_directory: {path!r} is a file. Use read_file.")
    prefix = "" if found == "." else f"{found}/"
    entries = (name.removeprefix(prefix).partition("/") for name in tree.below(found))
    return sorted({first + slash for first, slash, _ in entries})
