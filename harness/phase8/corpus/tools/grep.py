"""``grep`` in pure Python, read-only, with sorted output.

Covers the flags that code search needs. Two deliberate differences from GNU grep: files come in
sorted order, and a path given as ``.`` is not repeated in the output.
"""

import fnmatch
import getopt
import re
from collections.abc import Callable, Iterator

from phase8.core.values import Frozen
from phase8.corpus.tools.tree import SourceTree, ToolRefused

GREP_FLAGS = "-r -n -l -c -i -w -E -F -H -h -e --include"
_SPECIAL = frozenset("\\.[]*^$")
_EXTENDED = frozenset("(){}|+?")
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class Pattern(Frozen):
    """A grep pattern and the flags that say how it matches a line."""

    text: str
    fixed: bool = False
    extended: bool = False
    ignore_case: bool = False
    whole_word: bool = False

    def needle(self) -> str | None:
        """A plain string that every matching line holds; None where the pattern does not tell one."""
        if self.ignore_case or self.fixed:
            return None if self.ignore_case else self.text
        plain = self.text.removeprefix("^")
        special = _SPECIAL | _EXTENDED if self.extended else _SPECIAL
        return None if special & set(plain) else plain

    def is_needle(self) -> bool:
        """Whether a line that holds the needle matches."""
        return self.needle() == self.text and not self.whole_word

    def regex(self) -> re.Pattern[str]:
        """The pattern as a Python regular expression.

        Raises:
            ToolRefused: not a valid pattern.
        """
        body = re.escape(self.text) if self.fixed else to_python(self.text, extended=self.extended)
        body = rf"(?<!\w)(?:{body})(?!\w)" if self.whole_word else body
        try:
            return re.compile(body, re.MULTILINE | (re.IGNORECASE if self.ignore_case else 0))
        except re.error as error:
            raise ToolRefused(f"grep: pattern {self.text!r} is not valid: {error}") from error


def to_python(pattern: str, *, extended: bool) -> str:
    """A POSIX basic or extended expression, with GNU's ``\\|``, ``\\w`` and ``\\<``, as Python's."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char, following = pattern[at], pattern[at + 1 : at + 2]
        if char == "\\" and following:
            out.append(_escape(following, extended))
            at += 2
        elif char == "[":
            bracket, at = _bracket(pattern, at)
            out.append(bracket)
        else:
            out.append(_plain(pattern, at, out, extended))
            at += 1
    return "".join(out)


def _escape(char: str, extended: bool) -> str:
    if char in "<>":
        return r"\b"
    if char in "wWsSbB" or char.isdigit():
        return f"\\{char}"
    return char if char in _EXTENDED and not extended else re.escape(char)


def _plain(pattern: str, at: int, before: list[str], extended: bool) -> str:
    char = pattern[at]
    if char in _EXTENDED:
        return char if extended else re.escape(char)
    starts = not before or before[-1] in ("(", "|")
    ends = at + 1 == len(pattern) or pattern.startswith(("\\)", "\\|"), at + 1)
    literal = not extended and ((char == "^" and not starts) or (char == "$" and not ends))
    if (char == "*" and starts) or literal:
        return re.escape(char)
    return char if char in ".*^$" else re.escape(char)


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """A bracket expression that opens at ``at``, and the position behind it."""
    end = at + 1 + (pattern[at + 1 : at + 2] == "^")
    end += pattern[end : end + 1] == "]"
    while end < len(pattern) and pattern[end] != "]":
        end = pattern.find(":]", end) + 2 if pattern.startswith("[:", end) and ":]" in pattern[end:] else end + 1
    if end >= len(pattern):
        raise ToolRefused(f"grep: pattern {pattern!r} has an open '['. Close it or use -F.")
    inner = pattern[at + 1 : end].replace("\\", "\\\\")
    for name, members in _CLASSES.items():
        inner = inner.replace(f"[:{name}:]", members)
    negated, inner = inner.startswith("^"), inner.removeprefix("^")
    return f"[{'^' if negated else ''}{inner.replace('[', chr(92) + '[').replace(']', chr(92) + ']')}]", end + 1


def grep(arguments: list[str], tree: SourceTree) -> list[str]:
    """The output lines of ``grep`` with these arguments.

    Raises:
        ToolRefused: an unknown flag, no pattern, a path outside the tree, a folder without ``-r``.
    """
    try:
        options, rest = getopt.gnu_getopt(arguments, "rRnlciwEFHhe:", ["include="])
    except getopt.GetoptError as error:
        raise ToolRefused(f"grep: {error}. Allowed: {GREP_FLAGS}.") from error
    flags = {flag for flag, _ in options}
    patterns = [value for flag, value in options if flag == "-e"] or rest[:1]
    paths = rest if "-e" in flags else rest[1:]
    if len(patterns) != 1:
        raise ToolRefused("grep: give exactly one pattern, as grep [flags] 'pattern' path.")
    recursive = bool({"-r", "-R"} & flags)
    if not paths and not recursive:
        raise ToolRefused("grep: no path given. Name a file, or use -r with a directory.")
    pattern = Pattern(
        text=patterns[0],
        fixed="-F" in flags,
        extended="-E" in flags,
        ignore_case="-i" in flags,
        whole_word="-w" in flags,
    )
    located = [tree.locate(path) for path in paths or ["."]]
    files = _grep_files(located, [value for flag, value in options if flag == "--include"], recursive, tree)
    named = "-H" in flags or ("-h" not in flags and (len(located) > 1 or not tree.is_file(located[0])))
    candidates = tree.may_hold(pattern.needle() or "")
    if "-c" not in flags:  # which counts the files without a match as well
        files = [path for path in files if path in candidates]
    return list(_report(files, _matcher(pattern, tree, candidates), flags, named))


def _grep_files(located: list[str], globs: list[str], recursive: bool, tree: SourceTree) -> list[str]:
    files: list[str] = []
    for path in located:
        if not tree.is_file(path) and not recursive:
            raise ToolRefused(f"grep: {path} is a directory. Add -r.")
        names = tree.below(path)
        files += [f for f in names if not globs or any(fnmatch.fnmatchcase(f.rpartition("/")[2], g) for g in globs)]
    return files


def _matcher(pattern: Pattern, tree: SourceTree, candidates: frozenset[str]) -> Callable[[str], list[tuple[int, str]]]:
    """A function that gives the matching lines of a file, numbered from 1."""
    needle, is_needle, regex = pattern.needle(), pattern.is_needle(), pattern.regex()

    def matches(path: str) -> list[tuple[int, str]]:
        # A line that matches also matches inside the whole text, so most files need no splitting.
        if path not in candidates:
            return []
        text = tree.text(path)
        if (needle not in text) if needle is not None else not regex.search(text):
            return []
        lines = enumerate(tree.lines(path), start=1)
        if is_needle and needle is not None:
            return [(number, line) for number, line in lines if needle in line]
        return [(number, line) for number, line in lines if (not needle or needle in line) and regex.search(line)]

    return matches


def _report(
    files: list[str], matches: Callable[[str], list[tuple[int, str]]], flags: set[str], named: bool
) -> Iterator[str]:
    for path in files:
        found = matches(path)
        prefix = f"{path}:" if named else ""
        if "-l" in flags:
            yield from [path] if found else []
        elif "-c" in flags:
            yield f"{prefix}{len(found)}"
        else:
            for number, line in found:
                yield f"{prefix}{number}:{line}" if "-n" in flags else f"{prefix}{line}"
