"""Chat JSONL: one conversation a line, read with every fault named by its line."""

import json
from pathlib import Path
from typing import Any

from harness.errors import InvalidInput

ROLES = ("system", "user", "assistant", "tool")
Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of an mlx-lm chat file: ``{"messages": [...], "tools": [...]}`` a line.

    Raises:
        InvalidInput: no such file, an empty one, or a line that is no conversation; the line is named.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):  # not splitlines: JSON may hold U+2028 as it is
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # broken JSON and broken UTF-8
            raise InvalidInput(f"{path}:{number}: not JSON: {error}") from error
        if fault := _fault(row):
            raise InvalidInput(f"{path}:{number}: {fault}")
        rows.append(row)
    if not rows:
        raise InvalidInput(f"{path}: no rows; at least one conversation is needed")
    return rows


def _fault(row: Any) -> str | None:
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list) or not row["messages"]:
        return 'expected an object with a non-empty list "messages"'
    for index, message in enumerate(row["messages"]):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            found = message.get("role") if isinstance(message, dict) else message
            return f"messages[{index}].role is {found!r}; allowed: {', '.join(ROLES)}"
        calls = message["role"] == "assistant" and message.get("tool_calls")
        if not isinstance(message.get("content"), str) and not calls:
            return f"messages[{index}] has neither text content nor an assistant's tool_calls"
    roles = [message["role"] for message in row["messages"]]
    if "user" not in roles or "assistant" not in roles:
        return f"a conversation needs a user's and an assistant's turn; found {', '.join(roles)}"
    if roles.index("assistant") < roles.index("user"):
        return "the assistant speaks before the user"
    return None
