"""Faults that only show when the rows of a file are seen together, or beside other texts."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from phase8.chat.jsonl import Row, read_rows
from phase8.core.errors import InvalidInput
from phase8.core.safe_text import one_line
from phase8.core.same_query import folded
from phase8.corpus.lint.rows import Fault, error, read_lines, warning
from phase8.corpus.near_duplicates import NEAR_DUPLICATE, NEAR_HELD_BACK, near_pairs
from phase8.record.run import Label

if TYPE_CHECKING:
    from mlx_lm.tokenizer_utils import TokenizerWrapper

BALANCE = (0.5, 0.85)  # shares of rows that call a tool, outside which a model tends to learn one answer only
_EXCERPT = 60


class Sound(NamedTuple):
    """A row that is a conversation, its line, and what its first reply does."""

    number: int
    row: Row
    label: Label


class Lengths(NamedTuple):
    """Faults of rows that are too long, and a line that says what was measured."""

    faults: tuple[Fault, ...]
    note: str


def duplicates(rows: Iterable[Sound]) -> Iterator[Fault]:
    """Conversations that stand in the file twice; a query with another final mark is the same one."""
    first: dict[str, int] = {}
    for number, row, _ in rows:
        before = first.setdefault(json.dumps(_folded_turns(row["messages"]), sort_keys=True), number)
        if before != number:
            yield error("duplicate", f"the same conversation as line {before}").at(number)


def contradictions(rows: Iterable[Sound]) -> Iterator[Fault]:
    """A query that one row calls a tool for and another answers, with the same tools and after the same turns."""
    first: dict[str, Sound] = {}
    for found in rows:
        messages = found.row["messages"]
        turn = [message["role"] for message in messages].index("assistant")
        asked = max((i for i in range(turn) if messages[i]["role"] == "user"), default=None)
        if asked is None:
            continue
        key = json.dumps([_folded_turns(messages[: asked + 1]), found.row.get("tools")], sort_keys=True)
        before = first.setdefault(key, found)
        if before.label != found.label:
            does = {"tool": "calls a tool", "direct": "answers directly"}
            text = f"{does[found.label]}, but line {before.number} {does[before.label]} for the same query"
            yield error("labels", f"{text}: {one_line(messages[asked]['content'], _EXCERPT)}")._replace(
                line=found.number
            )


def _folded_turns(messages: Sequence[Row]) -> list[Row]:
    """Messages with the users' turns as far as they make another query."""
    return [m | {"content": folded(m["content"])} if m["role"] == "user" else m for m in messages]


def balance(rows: Sequence[Sound]) -> Iterator[Fault]:
    """A share of tool calls so high or low that always, or never, calling would look right."""
    share = tool_share(rows)
    if rows and not BALANCE[0] <= share <= BALANCE[1]:
        low, high = BALANCE
        yield warning("balance", f"{share:.1%} of {len(rows)} rows call a tool; {low:.0%} to {high:.0%} is usual")


def tool_share(rows: Sequence[Sound]) -> float:
    """The share of rows whose first reply calls a tool."""
    return sum(found.label == "tool" for found in rows) / len(rows) if rows else 0.0


def near_test(rows: Sequence[Sound], path: Path) -> Iterator[Fault]:
    """User turns that are nearly those of a test file.

    Raises:
        InvalidInput: no such file, or a malformed one.
    """
    read_rows(path)
    theirs = [(line.number, text) for line in read_lines(path).lines for text in _asked(line.row)]
    places = [f"like line {number} of {path.name}" for number, _ in theirs]
    yield from _near(rows, [text for _, text in theirs], places, NEAR_DUPLICATE)


def near_canonical(rows: Sequence[Sound], queries: Sequence[str]) -> Iterator[Fault]:
    """User turns that are nearly one of the canonical queries."""
    yield from _near(rows, queries, ["like a canonical query"] * len(queries), NEAR_HELD_BACK)


def lengths(rows: Iterable[Sound], folder: Path, limit: int | None) -> Lengths:
    """Rows of more tokens than ``limit``, in the model's own tokenizer and chat template.

    Without a limit it is the ``max_position_embeddings`` of the model's config.json.

    Raises:
        InvalidInput: no such folder, or no tokenizer with a chat template in it.
    """
    from phase8.engine.load.tokenizer import read_tokenizer

    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder. --model takes a local model folder")
    limit = limit or _positions(folder)
    tokenizer, faults, longest = read_tokenizer(folder), [], (0, 0)
    for number, row, _ in rows:
        counted = _tokens(tokenizer, row)
        if isinstance(counted, str):
            faults.append(error("template", f"the model's chat template refuses it: {counted}").at(number))
            continue
        longest = max(longest, (counted, -number))
        if limit and counted > limit:
            faults.append(error("length", f"{counted} tokens; the limit is {limit}").at(number))
    against = f"limit {limit}" if limit else "no limit known, give --max-tokens"
    where = f" (line {-longest[1]})" if longest[0] else ""
    return Lengths(tuple(faults), f"token lengths: the longest row has {longest[0]}{where}; {against}")


def _tokens(tokenizer: "TokenizerWrapper", row: Row) -> int | str:
    """The length of a row as mlx-lm trains on it, or why its chat template cannot write it."""
    from jinja2 import TemplateError

    try:
        return len(tokenizer.apply_chat_template(row["messages"], tools=row.get("tools")))
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as fault:  # whatever a template meets
        return str(fault) or type(fault).__name__


def _positions(folder: Path) -> int | None:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    except (ValueError, AttributeError) as fault:
        raise InvalidInput(f"{path}: not a model's configuration: {fault}") from fault
    return found if isinstance(found, int) else None


def _near(rows: Sequence[Sound], texts: Sequence[str], places: Sequence[str], at_least: float) -> Iterator[Fault]:
    """One fault for each user turn: the text that it is nearest to."""
    ours = [(found.number, text) for found in rows for text in _asked(found.row)]
    nearest: dict[int, tuple[float, int]] = {}
    for left, right, similarity in near_pairs([text for _, text in ours], texts, at_least):
        nearest[left] = max(nearest.get(left, (0.0, 0)), (similarity, -right))
    for left, (similarity, right) in sorted(nearest.items()):
        number, text = ours[left]
        said = f"{one_line(text, _EXCERPT)!r} is {places[-right]}: {one_line(texts[-right], _EXCERPT)!r}"
        text = f"{said} (similarity {similarity:.2f}, limit {at_least})"
        yield error("near-duplicate", text).at(number)


def _asked(row: Row) -> list[str]:
    return [message["content"] for message in row["messages"] if message["role"] == "user"]
