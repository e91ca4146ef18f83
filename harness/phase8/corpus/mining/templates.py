"""How people ask for code: question, the call that answers it, and the closing answer, as templates.

The templates are in ``data/cases/phrasings.jsonl``. Their fields come from a subject (``{name}``, ``{file}``,
``{top}``, ``{dist}``, ``{word}`` for the keyword that defines it ...) and, in closing answers, from the executed
output: ``{count}`` output lines, ``{number}`` the first line as a number, ``{path}`` and ``{line}`` of the first hit,
and the counted nouns ``{hits}``, ``{files}``, ``{entries}`` and ``{rows}``.
"""

import json
from pathlib import Path
from typing import Literal

from phase8.cases.cases import CASES
from phase8.core.errors import InvalidInput
from phase8.core.values import Frozen
from phase8.corpus.sources.code_roles import Role

PHRASINGS = CASES / "phrasings.jsonl"

About = Literal[
    Role,
    "symbol",
    "class",
    "base class",
    "function",
    "coroutine",
    "decorator",
    "constant",
    "module",
    "template",
    "stylesheet",
    "script",
    "asset",
    "folder",
    "code folder",
    "template folder",
    "script folder",
    "stylesheet folder",
    "method",
    "url pattern",
    "url name",
    "url module",
    "block",
    "parent template",
    "included template",
    "element id",
    "css rule",
    "script function",
    "fetch call",
    "calling script",
]


class Phrasing(Frozen):
    """One way to ask, and what finds the answer.

    ``shape`` says how the first line of the output is read, ``expects`` which of the output's facts must
    equal which field of the subject; where they differ, the tool did not find what was asked for.
    """

    id: str
    about: About
    query: str
    tool: Literal["run_command", "read_file", "list_directory"]
    arguments: dict[str, str | int]
    shape: Literal["path:line", "path", "line", "number", "text"]
    closing: str
    expects: dict[str, str]


def read_phrasings(path: Path = PHRASINGS) -> list[Phrasing]:
    """The phrasings of a file.

    Raises:
        InvalidInput: a line that is not a phrasing.
    """
    phrasings = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            phrasings.append(Phrasing.model_validate(json.loads(line)))
        except ValueError as error:
            raise InvalidInput(f"{path}:{number}: not a phrasing: {error}") from error
    return phrasings
