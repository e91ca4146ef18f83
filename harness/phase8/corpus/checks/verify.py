"""Proves a built corpus: calls executed again give the stored results, and every closing answer is true."""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from phase8.chat.formats import Call, Tools, parse_reply
from phase8.chat.jsonl import Row, read_rows
from phase8.core.errors import InvalidInput
from phase8.corpus.checks.claims import claims
from phase8.corpus.split.quotas import KINDS, NAMES
from phase8.corpus.stage import mined_sources
from phase8.corpus.tools.run import run
from phase8.corpus.tools.tree import SourceTree, ToolRefused
from phase8.profile.loading import Located
from phase8.profile.sections import MinedCorpus
from phase8.profile.terms import Format

_MORE = re.compile(r"\[\+([1-9]\d*) more\]", re.ASCII)


class ToolExample(NamedTuple):
    """A tool example as the corpus stores it."""

    id: str
    call: Call
    result: str
    output_sha256: str
    answer: str


class Fault(NamedTuple):
    """What is wrong with one example."""

    id: str
    expected: str
    found: str


def verify(located: Located, tools: Tools, corpus: Path, sample: int, console: Console) -> int:
    """Print how many calls give their stored result and how many closing answers are true; 1 if not all.

    ``sample`` tool examples, drawn with the corpus' seed, are compared with their stored results; the
    closing answers are checked in every tool example.

    Raises:
        InvalidInput: the corpus was not mined, has no tool example, or a file of it is damaged.
    """
    mined = located.profile.corpus
    if not isinstance(mined, MinedCorpus):
        raise InvalidInput(
            f"{located.path}: corpus.kind is not 'mined': only a mined corpus has calls to execute again"
        )
    if sample < 1:
        raise InvalidInput(f"--verify is {sample}; at least 1 example is needed")
    examples = read_tool_examples(corpus, located.profile.prompting.format, tools)
    if not examples:
        raise InvalidInput(f"{corpus}: no tool example, so there is nothing to verify. Raise corpus.tool_share")
    drawn = random.Random(mined.seed).sample(examples, min(sample, len(examples)))
    tree = mined_sources(mined).tree
    changed, untrue = list(changed_results(drawn, tree)), list(untrue_answers(examples, tree))
    for fault in (*changed, *untrue):
        console.print(
            f"{fault.id}: expected {fault.expected}; found {fault.found}", highlight=False, soft_wrap=True, markup=False
        )
    right = len(drawn) - len({fault.id for fault in changed})
    true = len(examples) - len({fault.id for fault in untrue})
    console.print(f"{right} of {len(drawn)} calls give the stored result", highlight=False)
    console.print(f"{true} of {len(examples)} closing answers are true", highlight=False)
    return 1 if changed or untrue else 0


def read_tool_examples(corpus: Path, style: Format, tools: Tools) -> list[ToolExample]:
    """The tool examples of a built corpus, from its rows and their provenance.

    Raises:
        InvalidInput: no provenance, a line that does not fit its row, or not one line for each row.
    """
    path = corpus / "provenance.jsonl"
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file. Build the corpus again.")
    rows = {name: read_rows(corpus / f"{name}.jsonl") for name in NAMES}
    examples, told = [], Counter[tuple[str, int]]()
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            origin = json.loads(line.decode("utf-8"))
            split, index, kind = origin["split"], origin["row"], origin["kind"]
            row = rows[split][index]
            if kind not in KINDS:
                raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
            if kind == "tool":
                examples.append(_example(origin, row, style, tools))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, StopIteration) as error:
            raise InvalidInput(f"{path}:{number}: does not fit the rows beside it: {error!r}") from error
        told[split, index] += 1
    _require_one_line_a_row(path, told, Counter((name, i) for name in NAMES for i in range(len(rows[name]))))
    return examples


def _require_one_line_a_row(path: Path, told: Counter[tuple[str, int]], rows: Counter[tuple[str, int]]) -> None:
    if told == rows:
        return
    split, index = next(row for row in (*rows, *told) if told[row] != rows[row])
    raise InvalidInput(
        f"{path}: {told[split, index]} lines for row {index} of {split}.jsonl; exactly one for each row is needed. "
        "Build the corpus again."
    )


def changed_results(examples: Sequence[ToolExample], tree: SourceTree) -> Iterator[Fault]:
    """The examples whose call, executed now, gives another output than they were made from."""
    for example in examples:
        output = _execute(example.call, tree)
        found = hashlib.sha256(output.encode()).hexdigest()
        if found != example.output_sha256:
            yield Fault(example.id, f"an output with SHA-256 {example.output_sha256}", f"{found}: {_start(output)}")
        elif not shows(example.result, output):
            yield Fault(example.id, f"the start of {_start(output)}", repr(example.result))


def untrue_answers(examples: Sequence[ToolExample], tree: SourceTree) -> Iterator[Fault]:
    """What closing answers claim that the call, executed now, does not show; an answer must claim something."""
    for example in examples:
        found = claims(example.answer, example.call, _execute(example.call, tree))
        if not found:
            yield Fault(example.id, "a count, path or name", repr(example.answer))
        for claim in found:
            if not claim.true:
                yield Fault(example.id, claim.expected, f"{claim.said!r} in {example.answer!r}")


def shows(result: str, output: str) -> bool:
    """Whether a result is the output, or the start of it with what is missing said truly.

    ``[+N more]`` in the last row stands for N rows, ``...`` for the rest of a row, of which at least one
    character is shown.
    """
    shown, rows = result.split("\n"), output.split("\n")
    missing = 0
    if len(shown) > 1 and (marker := _MORE.fullmatch(shown[-1])):
        missing = int(marker[1])
        shown.pop()
    if len(shown) + missing != len(rows):
        return False
    pairs = zip(shown, rows, strict=False)
    return all(
        row == whole or (len(row) > 3 and row.endswith("...") and whole.startswith(row[:-3])) for row, whole in pairs
    )


def _example(origin: dict, row: Row, style: Format, tools: Tools) -> ToolExample:
    messages = row["messages"]
    turn = next(i for i, message in enumerate(messages) if message["role"] == "assistant")
    if messages[turn + 1]["role"] != "tool":
        raise ValueError("the call is not followed by its result")
    return ToolExample(
        id=origin["id"],
        call=_call(messages[turn], style, row.get("tools") or tools),
        result=messages[turn + 1]["content"],
        output_sha256=origin["output_sha256"],
        answer=messages[-1]["content"],
    )


def _call(message: Row, style: Format, tools: Tools) -> Call:
    if calls := message.get("tool_calls"):
        function = calls[0]["function"]
        arguments = function["arguments"]
        return Call(name=function["name"], arguments=json.loads(arguments) if isinstance(arguments, str) else arguments)
    parsed = parse_reply(message["content"], style, tools)
    if len(parsed.calls) != 1:
        raise ValueError(f"expected one call, found {len(parsed.calls)} {parsed.failure or ''}")
    return parsed.calls[0]


def _execute(call: Call, tree: SourceTree) -> str:
    try:
        return run(call, tree)
    except ToolRefused as error:
        return f"refused: {error}"


def _start(output: str) -> str:
    return repr(output if len(output) <= 200 else f"{output[:200]}...")
