"""The training corpus: chat examples whose tool output was really executed and whose answers are true."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.direct import from_docstrings, hand_written
from harness.errors import InvalidInput
from harness.example import Example
from harness.formats import Tools, describe_tools, render_call
from harness.frozen import Frozen
from harness.mining import tool_examples
from harness.profile import ROOT, MinedCorpus, Prompting
from harness.sources import Sources
from harness.splits import KINDS, NAMES, divide, quotas

CANONICAL = ROOT / "data" / "cases" / "canonical.jsonl"
# What the canonical queries are about: nothing near it may be trained on.
_HELD_BACK = re.compile(
    r"userserializer|view functions?\b|dependency injection|\basync\b.*\bawait|\bawait\b|\borm\b.*\bsql\b|\braw sql\b",
    re.IGNORECASE | re.DOTALL,
)


class Splits(Frozen):
    """The chosen examples."""

    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]


def pool(corpus: MinedCorpus, prompting: Prompting, sources: Sources, outside: Sources | None = None) -> list[Example]:
    """Candidates, more than needed, the same for the same sources and seed; those from outside the domain last."""
    random_ = random.Random(corpus.seed)
    unique: dict[str, Example] = {}
    for example in (
        *tool_examples(corpus, prompting, sources, random_),
        *hand_written(),
        *from_docstrings(sources, random_),
        *(tool_examples(corpus, prompting, outside, random_, outside=True) if outside else ()),
        *(from_docstrings(outside, random_) if outside else ()),
    ):
        unique.setdefault(_folded(example.query), example)
    return [example for example in unique.values() if not is_held_back(example)]


def messages(example: Example, prompting: Prompting, tools: Tools) -> list[dict[str, str]]:
    """The conversation as chat messages; the assistant speaks last."""
    system = prompting.system.replace("{tools}", describe_tools(tools))
    turns = [("system", system)] if system else []
    turns.append(("user", example.query))
    if example.call and example.result is not None:
        turns += [("assistant", render_call(example.call, prompting.format)), ("tool", example.result)]
    turns.append(("assistant", example.answer))
    return [{"role": role, "content": content} for role, content in turns]


def select(
    pool: Sequence[Example],
    corpus: MinedCorpus,
    prompting: Prompting,
    tools: Tools,
    fits: Callable[[list[dict[str, str]]], bool],
) -> Splits:
    """Choose exactly ``corpus.examples`` examples whose messages fit, and split them by topic.

    Raises:
        InvalidInput: too few candidates, or too few that fit.
    """
    fitting = [example for example in pool if fits(messages(example, prompting, tools))]
    wanted = quotas(corpus.examples, corpus.tool_share)
    found, fit = (Counter(example.kind for example in examples) for examples in (pool, fitting))
    needed = {kind: sum(getattr(quota, kind) for quota in wanted.values()) for kind in KINDS}
    if any(fit[kind] < count for kind, count in needed.items()):
        counts = "; ".join(f"{k}: {found[k]} found, {fit[k]} fit, {n} needed" for k, n in needed.items())
        raise InvalidInput(
            f"corpus: the pool is too small. {counts}. "
            f"Raise corpus.row_tokens ({corpus.row_tokens}), add to corpus.distributions or lower corpus.examples."
        )
    return Splits.model_validate(divide(fitting, wanted, random.Random(corpus.seed)))


def write(splits: Splits, prompting: Prompting, tools: Tools, out: Path) -> None:
    """Write ``train``, ``valid`` and ``test.jsonl`` (mlx-lm chat rows) and ``provenance.jsonl``."""
    out.mkdir(parents=True, exist_ok=True)
    origins = []
    for name in NAMES:
        examples: tuple[Example, ...] = getattr(splits, name)
        rows = [{"messages": messages(example, prompting, tools), "tools": tools} for example in examples]
        _write_lines(out / f"{name}.jsonl", rows)
        origins += [_origin(name, row, example) for row, example in enumerate(examples)]
    _write_lines(out / "provenance.jsonl", origins)


def pool_texts(pool: Sequence[Example]) -> Iterator[str]:
    """The texts of the candidates, calls as JSON: what a tokenizer is trained on."""
    for example in pool:
        yield example.query
        if example.call:
            yield json.dumps(example.call.model_dump(), ensure_ascii=False)
        if example.result:
            yield example.result
        yield example.answer


def is_held_back(example: Example) -> bool:
    """Whether an example is a canonical query or about the topic of one."""
    arguments = example.call.arguments.values() if example.call else ()
    said = "\n".join([example.query, *map(str, arguments), example.result or "", example.answer])
    return _folded(example.query) in canonical_queries() or bool(_HELD_BACK.search(said))


@cache
def canonical_queries() -> frozenset[str]:
    """The canonical queries, folded."""
    lines = CANONICAL.read_text(encoding="utf-8").splitlines()
    return frozenset(_folded(json.loads(line)["query"]) for line in lines)


def _folded(query: str) -> str:
    return " ".join(query.casefold().strip(" ?.!").split())


def _origin(split: str, row: int, example: Example) -> dict[str, Any]:
    kept = example.model_dump(include={"id", "kind", "group", "query", "provenance", "output_sha256"})
    return {"split": split, "row": row} | kept


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
