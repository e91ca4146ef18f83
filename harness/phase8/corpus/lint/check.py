"""``data --check``: every fault of a chat file, line by line and as a whole."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from phase8.chat.formats import Tools
from phase8.core.errors import InvalidInput
from phase8.corpus.lint import calls as lint_calls
from phase8.corpus.lint import file as lint_file
from phase8.corpus.lint import rows as lint_rows
from phase8.corpus.lint.calls import Calls, Style
from phase8.corpus.lint.file import Sound
from phase8.corpus.lint.rows import Fault, Line, warning
from phase8.profile.terms import Format


class Options(NamedTuple):
    """What a file is held against; what is None is found out or not applicable.

    ``tools`` are for rows without their own, ``max_tokens`` is the longest row allowed.
    """

    canonical: tuple[str, ...]
    style: Format | None = None
    tools: Tools | None = None
    against: Path | None = None
    model: Path | None = None
    max_tokens: int | None = None


class Checked(NamedTuple):
    """The rows of a file, its faults sorted by line, those of the whole file last, and what was looked at."""

    rows: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @property
    def errors(self) -> int:
        """How many of the faults are errors."""
        return sum(fault.severity == "error" for fault in self.faults)


def check(path: Path, options: Options) -> Checked:
    """Find every fault of a chat file.

    Raises:
        InvalidInput: no such file, test file or model folder; a malformed test file; a limit below 1.
    """
    _require(path, options)
    read = lint_rows.read_lines(path)
    faults, well_formed = list(read.faults), []
    for line in read.lines:
        found = [fault.at(line.number) for fault in lint_rows.schema_faults(line.row)]
        faults += found
        well_formed += [] if found else [line]
    votes = lint_calls.votes(line.row for line in well_formed)
    style = options.style or next((name for name, _ in votes.most_common(1)), None)
    sound = []
    for line in well_formed:
        found, calls = _row(line, style, options)
        faults += [fault.at(line.number) for fault in found]
        if calls:
            sound.append(Sound(line.number, line.row, "tool" if next(iter(calls.values())).count else "direct"))
    together, notes = _file(sound, options)
    faults += together
    faults.sort(key=lambda fault: (fault.line is None, fault.line or 0))
    return Checked(read.rows, tuple(faults), (_calls_note(style, votes, well_formed, options), *notes))


def _require(path: Path, options: Options) -> None:
    if options.max_tokens is not None and options.max_tokens < 1:
        raise InvalidInput(f"--max-tokens is {options.max_tokens}; at least 1 is allowed")
    if options.against and options.against.exists() and path.exists() and options.against.samefile(path):
        raise InvalidInput(f"--against is {path} itself. Give the file that its rows must keep away from")


def _row(line: Line, style: Style | None, options: Options) -> tuple[list[Fault], dict[int, Calls]]:
    """The faults of one conversation, and the calls of its assistant's messages by their index."""
    messages = line.row["messages"]
    tools, faults = lint_calls.row_tools(line.row, options.tools)
    said = {index: message for index, message in enumerate(messages) if message["role"] == "assistant"}
    calls = {index: lint_calls.read_calls(index, message, style, tools) for index, message in said.items()}
    found = [*lint_rows.empty_turns(messages), *lint_rows.order_faults(messages), *faults]
    for one in calls.values():
        found += one.faults
    found += lint_calls.result_faults(messages, calls)
    if options.style is None and style != "structured" and any(message.get("tool_calls") for message in said.values()):
        found.append(warning("call", f"structured tool_calls, where most rows write calls as {style} text"))
    return [*found, *lint_rows.character_faults(messages)], calls


def _file(sound: list[Sound], options: Options) -> tuple[list[Fault], tuple[str, ...]]:
    faults = [*lint_file.duplicates(sound), *lint_file.contradictions(sound), *lint_file.balance(sound)]
    faults += lint_file.near_canonical(sound, options.canonical)
    notes = [f"balance: {lint_file.tool_share(sound):.1%} of {len(sound)} rows call a tool first"]
    if options.against:
        faults += lint_file.near_test(sound, options.against)
        notes.append(f"near-duplicates: user turns against {options.against} and the canonical queries")
    else:
        notes.append("near-duplicates of a test file: not applicable, give --against")
    if options.model:
        found = lint_file.lengths(sound, options.model, options.max_tokens)
        faults += found.faults
        notes.append(found.note)
    else:
        notes.append("token lengths: not applicable, give --model")
    return faults, tuple(notes)


def _calls_note(style: Style | None, votes: Counter[Style], rows: list[Line], options: Options) -> str:
    if style is None:
        return "calls: none found"
    unknown = sum(lint_calls.row_tools(line.row, options.tools)[0] is None for line in rows)
    how = "given" if options.style else f"found in {votes[style]} rows"
    return f"calls: {style}, {how}" + (
        f"; {unknown} rows have no readable tools to check calls against, give --profile" if unknown else ""
    )
