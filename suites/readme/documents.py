"""The commands that the documents tell a person to run."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from phase8.core.project import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/gate.md", "docs/ci.md")
_PROGRAM = (
    r"(?:\.venv/bin/nox|nox|\.nox/\w+/bin/python|python3|git|harness|ci/phase8\.sh|\.ci/run|pytest-benchmark|apt-get)"
)
_BLOCK = re.compile(rf"^    (?:\$ )?(?:\(\w+\) )?((?:export )?(?:{_PROGRAM}\b|[A-Z0-9_]+=).*)$")
_INLINE = re.compile(rf"`({_PROGRAM}(?: [^`]+)?)`")
_COMMENT = re.compile(r"\s{2,}(?:#|\().*$")  # behind a command, or what it ended with
_NAMES = {"nox", ".venv/bin/nox", "ci/phase8.sh", "harness", "git"}  # a program spoken of, nothing to run


class Written(NamedTuple):
    """A command and the document that it is in."""

    document: str
    text: str


def commands() -> list[Written]:
    """Every command in a code block or in backticks, each once a document, without the comment behind it."""
    found = [Written(name, text) for name in DOCUMENTS for text in _commands((ROOT / name).read_text(encoding="utf-8"))]
    return list(dict.fromkeys(found))


def _commands(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if block := _BLOCK.match(line):
            yield _COMMENT.sub("", block[1]).strip()
        else:
            yield from (span for span in _INLINE.findall(line) if span not in _NAMES)
