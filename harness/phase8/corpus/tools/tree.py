"""The source tree that tools may look at: text files of a few packages, each read once."""

import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from phase8.core.errors import InvalidInput

TEXT_SUFFIXES = frozenset(
    [
        ".cfg",
        ".css",
        ".html",
        ".ini",
        ".jinja",
        ".js",
        ".json",
        ".md",
        ".py",
        ".py-tpl",
        ".pyi",
        ".rst",
        ".sty",
        ".toml",
        ".txt",
        ".xml",
    ]
)


class ToolRefused(InvalidInput):
    """A tool call that will not be executed: what was asked, why not, what is allowed."""


class SourceTree:
    """Text sources of the allowed top-level packages (or modules) below ``root``.

    Paths are relative, posix and sorted by code point, so every platform gives the same listing.
    Links that lead out of ``root``, caches and hidden folders are not part of the tree.
    """

    def __init__(self, root: Path, packages: Iterable[str]) -> None:
        """List the files; none is read yet."""
        self.root = root.resolve()
        self.packages = tuple(sorted(set(packages)))
        self.files = tuple(sorted(path for package in self.packages for path in self._scan(package)))
        self.directories = frozenset(str(parent) for path in self.files for parent in PurePosixPath(path).parents)
        self._known = frozenset(self.files)
        self._texts: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}
        self._holding: dict[str, frozenset[str]] = {}

    def locate(self, path: str) -> str:
        """The tree's own spelling of a path; ``.`` is the root.

        Raises:
            ToolRefused: absolute, with ``..``, or not in the tree.
        """
        parts = PurePosixPath(path).parts
        if path.startswith("/") or PureWindowsPath(path).drive or "\\" in path or ".." in parts or "~" in parts[:1]:
            raise ToolRefused(f"path {path!r} leaves the source tree. Use a relative path without '..'.")
        found = str(PurePosixPath(path))
        if found not in self._known and found not in self.directories:
            raise ToolRefused(f"path {path!r}: no such file or directory. The tree holds {', '.join(self.packages)}.")
        return found

    def is_file(self, path: str) -> bool:
        """Whether a located path is a file."""
        return path in self._known

    def below(self, path: str) -> tuple[str, ...]:
        """The files at or below a located path, sorted."""
        if path == ".":
            return self.files
        if self.is_file(path):
            return (path,)
        # '0' follows '/' in ASCII, so the two bounds enclose everything that starts with 'path/'.
        return self.files[bisect_left(self.files, f"{path}/") : bisect_left(self.files, f"{path}0")]

    def text(self, path: str) -> str:
        """The text of a located file, with ``\\n`` line ends."""
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_text(encoding="utf-8", errors="replace")
        return self._texts[path]

    def lines(self, path: str) -> list[str]:
        """The lines of a located file, without line ends."""
        if path not in self._lines:
            self._lines[path] = self.text(path).removesuffix("\n").split("\n") if self.text(path) else []
        return self._lines[path]

    def may_hold(self, text: str) -> frozenset[str]:
        """The files that can contain a text, judged by its longest word; the others need no search."""
        words = re.findall(r"\w+", text)
        if not words:
            return self._known
        longest = max(words, key=len)
        if longest not in self._holding:
            self._holding[longest] = self._with_word(longest)
        return self._holding[longest]

    def _with_word(self, part: str) -> frozenset[str]:
        """The files of every word that holds ``part``."""
        files = set[str]()
        by_word, vocabulary = self._words
        at = vocabulary.find(part)
        while at >= 0:
            end = vocabulary.index("\n", at)
            files |= by_word[vocabulary[vocabulary.rindex("\n", 0, at) + 1 : end]]
            at = vocabulary.find(part, end)
        return frozenset(files)

    @cached_property
    def _words(self) -> tuple[dict[str, set[str]], str]:
        """The files of every word, and all words as lines of one text that can be searched for parts."""
        by_word: dict[str, set[str]] = {}
        for path in self.files:
            for word in set(re.findall(r"\w+", self.text(path))):
                by_word.setdefault(word, set()).add(path)
        return by_word, "\n".join(["", *by_word, ""])

    def _scan(self, package: str) -> Iterator[str]:
        top = self.root / package
        if top.is_file() and self._inside(top):
            yield package
        if not self._inside(top):
            return
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [name for name in subfolders if name != "__pycache__" and name[0] != "."]
            for name in names:
                path = Path(folder, name)
                if path.suffix in TEXT_SUFFIXES and self._inside(path):
                    yield path.relative_to(self.root).as_posix()

    def _inside(self, path: Path) -> bool:
        return not path.is_symlink() or path.resolve().is_relative_to(self.root)
