"""What is scored: held-out rows as prompt and continuation, their tokens told apart, and prompts without a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_lm.tokenizer_utils import TokenizerWrapper

from phase8.cases.cases import Case
from phase8.chat.formats import Tools, closing, opening, parse_reply
from phase8.engine.load.chat import Row, case_tokens, stop_ids
from phase8.engine.load.rows import read_split
from phase8.engine.load.tokenizer import read_tokenizer
from phase8.profile.sections import Prompting


@dataclass(frozen=True)
class Scored:
    """One prompt: the first-turn case that it asks and, where it is a held-out row, how that goes on.

    ``written`` says for each token of the continuation whether an assistant wrote it, ``call`` whether it lies
    inside a tool call; all three are empty for a prompt without a row.
    """

    case: Case
    prompt: tuple[int, ...]
    continuation: tuple[int, ...] = ()
    written: tuple[bool, ...] = ()
    call: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Work:
    """Everything that is scored, held-out rows first, with the tokens that open a call."""

    scored: tuple[Scored, ...]
    opening: tuple[int, ...]
    stops: frozenset[int]
    prompting: Prompting
    tools: Tools


def prepare(
    tokenizer_folder: Path,
    split: Path,
    cases: Sequence[Case],
    prompting: Prompting,
    tools: Tools,
    limit: int | None,
) -> Work:
    """The held-out rows (at most ``limit``, evenly spread), and the canonical prompts.

    Raises:
        InvalidInput: an unreadable split, or a row whose turns cannot be told apart.
    """
    tokenizer = read_tokenizer(tokenizer_folder)
    rows = read_split(tokenizer_folder, split, prompting)
    asked = [case for case in cases if case.suite == "held-out" and case.turn == 1]
    chosen = spread(len(rows), limit)
    held_out = [_scored(tokenizer, asked[i], rows[i], prompting, tools) for i in chosen]
    canonical = [
        Scored(case, tuple(case_tokens(tokenizer, case, tools, prompting)))
        for case in cases
        if case.suite == "canonical" and case.turn == 1
    ]
    stops = frozenset(stop_ids(tokenizer, prompting.stop_sequences))
    return Work((*held_out, *canonical), _opening(tokenizer, held_out, prompting), stops, prompting, tools)


def spread(count: int, limit: int | None) -> list[int]:
    """The numbers of at most ``limit`` of ``count`` rows, evenly spread."""
    taken = count if limit is None else min(limit, count)
    return [i * count // taken for i in range(taken)]


def _scored(tokenizer: TokenizerWrapper, case: Case, row: Row, prompting: Prompting, tools: Tools) -> Scored:
    begins = row.assistant.index(True)
    ends = len(row.assistant) - row.assistant[::-1].index(True)
    known = list(case.tools) if case.tools else tools
    call = [False] * (ends - begins)
    for start, stop in _turns(row.assistant[begins:ends]):
        marks = call_marks(tokenizer, row.tokens[begins + start : begins + stop], prompting, known)
        call[start:stop] = marks
    return Scored(case, row.tokens[:begins], row.tokens[begins:ends], row.assistant[begins:ends], tuple(call))


def _turns(written: Sequence[bool]) -> list[tuple[int, int]]:
    """Where each run of an assistant's tokens begins and ends."""
    edges = [i for i in range(len(written)) if written[i] and (i == 0 or not written[i - 1])]
    return [(i, next((j for j in range(i, len(written)) if not written[j]), len(written))) for i in edges]


def call_marks(tokenizer: TokenizerWrapper, turn: Sequence[int], prompting: Prompting, tools: Tools) -> list[bool]:
    """Which tokens of an assistant's turn are part of a tool call, from its opening string to the end of its closing.

    A token that ends a turn right after a call belongs to the call: to stop there is part of writing it.
    """
    lengths = [len(tokenizer.decode(list(turn[: i + 1]))) for i in range(len(turn))]
    text = tokenizer.decode(list(turn))
    for stop in prompting.stop_sequences:
        text = text.partition(stop)[0]
    if not parse_reply(text, prompting.format, tools).calls:
        return [False] * len(turn)
    start = text.find(opening(prompting.format))
    ends = text.rfind(closing(prompting.format)) + len(closing(prompting.format))
    if not text[ends:].strip():
        ends = max(lengths)
    before = [0, *lengths[:-1]]
    return [start < after and begin < ends for begin, after in zip(before, lengths, strict=True)]


def _opening(tokenizer: TokenizerWrapper, rows: Sequence[Scored], prompting: Prompting) -> tuple[int, ...]:
    """The tokens of the call-opening string, as far as real calls begin with them.

    Its last characters may be part of a longer token where a call goes on.
    """
    alone = tuple(tokenizer.encode(opening(prompting.format), add_special_tokens=False))
    calls = [row.continuation for row in rows if row.call and row.call[0]]
    for length in range(len(alone), 0, -1):
        if all(call[:length] == alone[:length] for call in calls):
            return alone[:length]
    return alone
