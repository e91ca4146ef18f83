"""Chat JSONL: one conversation a line, read with every fault named by its line."""

from pathlib import Path
from typing import Any

from phase8.chat.conversation import structured_call
from phase8.chat.parsing import read_json
from phase8.chat.tool_schemas import tools_fault
from phase8.core.errors import InvalidInput

ROLES = ("system", "user", "assistant", "tool")
Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of an mlx-lm chat file: ``{"messages": [...], "tools": [...]}`` a line.

    ``tools`` are function schemas, OpenAI style; an assistant's message may hold ``tool_calls`` with arguments as an
    object or as JSON text. Whether a call fits its schema is not looked at here.

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
            row = read_json(line.decode("utf-8"))
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
        if fault := _message_fault(message):
            return f"messages[{index}]{fault}"
    roles = [message["role"] for message in row["messages"]]
    if "user" not in roles or "assistant" not in roles:
        return f"a conversation needs a user's and an assistant's turn; found {', '.join(roles)}"
    if roles.index("assistant") < roles.index("user"):
        return "the assistant speaks before the user"
    return None if row.get("tools") is None else tools_fault(row["tools"])


def _message_fault(message: Any) -> str | None:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        found = message.get("role") if isinstance(message, dict) else message
        return f".role is {found!r}; allowed: {', '.join(ROLES)}"
    calls, content = message.get("tool_calls"), message.get("content")
    if calls and (message["role"] != "assistant" or not isinstance(calls, list)):
        return f".tool_calls: expected a list, of an assistant; found {type(calls).__name__} of {message['role']!r}"
    if not isinstance(content, str) and not (content is None and calls):
        return " has neither text content nor an assistant's tool_calls"
    for index, call in enumerate(calls or ()):
        try:
            structured_call(call)
        except InvalidInput as error:
            return f".tool_calls[{index}]: {error}"
    return None
