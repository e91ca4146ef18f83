"""Faults of single rows of a chat file: what a reader, mlx-lm or a chat template would trip over."""

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from phase8.chat.jsonl import ROLES
from phase8.core.errors import InvalidInput
from phase8.core.safe_text import visible

_SOFT_HYPHEN = "\u00ad"  # invisible, though no screen acts on it
_DEEPEST = 64  # levels: far more than any conversation has, and nothing that a recursive reader would fail on


class Fault(NamedTuple):
    """One fault; ``line`` counts from 1, and is None where the fault is the file's as a whole."""

    severity: Literal["error", "warning"]
    rule: str
    text: str
    line: int | None = None

    def at(self, line: int) -> "Fault":
        """The same fault, found on a line."""
        return self._replace(line=line)


class Line(NamedTuple):
    """A line that is JSON, blank lines counted."""

    number: int
    row: Any


class Read(NamedTuple):
    """The lines of a file that are JSON, how many are not blank, and the faults of those that cannot be read."""

    lines: tuple[Line, ...]
    rows: int
    faults: tuple[Fault, ...]


def error(rule: str, text: str) -> Fault:
    """A fault that makes a row unfit for training or judging."""
    return Fault("error", rule, text)


def warning(rule: str, text: str) -> Fault:
    """A fault that may be meant."""
    return Fault("warning", rule, text)


def read_lines(path: Path) -> Read:
    """Every line of a file, blank ones counted, so that an editor finds it.

    Raises:
        InvalidInput: no such file.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    pieces = path.read_bytes().split(b"\n")
    lines, faults = [], []
    if pieces[0].startswith(codecs.BOM_UTF8):
        pieces[0] = pieces[0].removeprefix(codecs.BOM_UTF8)
        faults.append(error("encoding", "a byte order mark, which mlx-lm does not read: save without it").at(1))
    for number, piece in enumerate(pieces if pieces[-1] else pieces[:-1], 1):
        found = _read_line(piece) if piece.strip() else warning("blank line", "mlx-lm's own loader stops here")
        if isinstance(found, Fault):
            faults.append(found.at(number))
        else:
            lines.append(Line(number, *found))
    rows = sum(bool(piece.strip()) for piece in pieces)
    if not rows:
        faults.append(error("schema", "no rows; at least one conversation is needed"))
    return Read(tuple(lines), rows, tuple(faults))


def _read_line(piece: bytes) -> tuple[Any] | Fault:
    try:
        row = json.loads(piece.decode("utf-8"))
    except UnicodeDecodeError as fault:
        return error("encoding", f"not UTF-8: {fault.reason} at byte {fault.start + 1}")
    except (ValueError, RecursionError) as fault:
        return error("json", f"not JSON: {fault}")
    return error("json", f"nested more than {_DEEPEST} levels deep") if _is_deep([row]) else (row,)


def schema_faults(row: Any) -> Iterator[Fault]:
    """What keeps a row from being a conversation: ``{"messages": [{"role": ..., "content": ...}, ...]}``."""
    if not isinstance(row, dict):
        yield error("schema", f'a row is an object with "messages"; found {_kind(row)}')
        return
    if not isinstance(row.get("messages"), list) or not row["messages"]:
        found = _kind(row["messages"]) if "messages" in row else f"the keys {', '.join(row) or '(none)'}"
        yield error("schema", f'expected a non-empty list "messages"; found {found}')
        return
    for index, message in enumerate(row["messages"]):
        yield from _message_faults(f"messages[{index}]", message)


def _message_faults(where: str, message: Any) -> Iterator[Fault]:
    if not isinstance(message, dict):
        yield error("schema", f"{where} is {_kind(message)}; expected an object with role and content")
        return
    role, content, calls = (message.get(key) for key in ("role", "content", "tool_calls"))
    if role not in ROLES:
        yield error("schema", f"{where}.role is {role!r}; allowed: {', '.join(ROLES)}")
    if calls and (role != "assistant" or not isinstance(calls, list)):
        yield error("schema", f"{where}.tool_calls: {_kind(calls)} of {role!r}; expected a list, of an assistant")
    if not isinstance(content, str) and not (content is None and role == "assistant" and calls):
        yield error("schema", f"{where}.content is {_kind(content)}; expected text")


def empty_turns(messages: list[Any]) -> Iterator[Fault]:
    """Turns that say nothing; an empty tool result may be true, so it is a warning."""
    for index, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, str) and not content.strip() and not message.get("tool_calls"):
            found = warning if message.get("role") == "tool" else error
            yield found("empty turn", f"messages[{index}]: the {message.get('role')} says nothing")


def order_faults(messages: list[Any]) -> Iterator[Fault]:
    """Roles out of order. A tool's result without a call is found where calls are read."""
    roles = [message["role"] for message in messages]
    missing = [role for role in ("user", "assistant") if role not in roles]
    if missing:
        yield error("roles", f"no turn of the {' and none of the '.join(missing)}; found {', '.join(roles)}")
    elif roles.index("assistant") < roles.index("user"):
        yield error("roles", f"messages[{roles.index('assistant')}]: the assistant speaks before the user")
    for index, (before, role) in enumerate(pairwise(roles), 1):
        if role == "system":
            yield error("roles", f"messages[{index}]: a system message stands after another message")
        elif role == before and role != "tool":
            yield warning("roles", f"messages[{index}]: two turns of the {role} in a row")
    if not missing and roles[-1] != "assistant":
        yield error("roles", f"the conversation ends with the {roles[-1]}, not with the assistant")


def character_faults(messages: list[Any]) -> Iterator[Fault]:
    """Control characters and marks that nobody sees; a lone surrogate no tokenizer can read."""
    for index, message in enumerate(messages):
        count: Counter[str] = Counter()
        for text in _texts(message):
            count.update(c for c in text if c == _SOFT_HYPHEN or visible(c) != c)
        if count:
            named = ", ".join(f"U+{ord(c):04X} ({n} times)" if n > 1 else f"U+{ord(c):04X}" for c, n in count.items())
            found = error if any("\ud800" <= c <= "\udfff" for c in count) else warning
            yield found("characters", f"messages[{index}] holds characters that cannot be seen: {named}")


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a JSON value, however deep."""
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            rest += [*value, *value.values()] if isinstance(value, dict) else value


def _is_deep(value: Any) -> bool:
    """Whether lists and objects stand in one another more than ``_DEEPEST`` times."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _kind(value: Any) -> str:
    if value in ({}, []):
        return "an empty object" if isinstance(value, dict) else "an empty list"
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "nothing"}
    return names.get(type(value), "a number")
