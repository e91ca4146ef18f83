"""The training corpus: chat examples whose tool output was really executed and whose answers are true."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phase8.chat.formats import Tools, describe_tools, render_call
from phase8.core.values import Frozen
from phase8.corpus.mining.direct_answers import from_docstrings, hand_written
from phase8.corpus.mining.example import Example
from phase8.corpus.mining.tool_calls import tool_examples
from phase8.corpus.sources.distributions import Sources
from phase8.corpus.split.pruning import Exclusion
from phase8.corpus.split.quotas import NAMES
from phase8.profile.sections import MinedCorpus, Prompting


class Splits(Frozen):
    """The chosen examples, the phrasings that only ``test`` has, and the candidates in no split."""

    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]
    unseen: frozenset[str] = frozenset()
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def by_name(self) -> dict[str, tuple[Example, ...]]:
        """The examples of each split."""
        return {name: getattr(self, name) for name in NAMES}


def pool(corpus: MinedCorpus, prompting: Prompting, sources: Sources, outside: Sources | None = None) -> list[Example]:
    """Candidates, more than needed, the same for the same sources and seed; nothing is pruned yet.

    Those from outside the domain, whose tools ran on sources of their own, come last.
    """
    random_ = random.Random(corpus.seed)
    return [
        *tool_examples(corpus, prompting, sources, random_),
        *hand_written(),
        *from_docstrings(sources, random_),
        *(tool_examples(corpus, prompting, outside, random_, outside=True) if outside else ()),
        *(from_docstrings(outside, random_) if outside else ()),
    ]


def messages(example: Example, prompting: Prompting, tools: Tools) -> list[dict[str, str]]:
    """The conversation as chat messages; the assistant speaks last."""
    system = prompting.system.replace("{tools}", describe_tools(tools))
    turns = [("system", system)] if system else []
    turns.append(("user", example.query))
    if example.call and example.result is not None:
        turns += [("assistant", render_call(example.call, prompting.format)), ("tool", example.result)]
    turns.append(("assistant", example.answer))
    return [{"role": role, "content": content} for role, content in turns]


def write(splits: Splits, prompting: Prompting, tools: Tools, out: Path) -> None:
    """Write ``train``, ``valid`` and ``test.jsonl`` (mlx-lm chat rows), provenance and exclusions."""
    out.mkdir(parents=True, exist_ok=True)
    origins = []
    for name, examples in splits.by_name.items():
        rows = [{"messages": messages(example, prompting, tools), "tools": tools} for example in examples]
        _write_lines(out / f"{name}.jsonl", rows)
        origins += [_origin(name, row, example, splits.unseen) for row, example in enumerate(examples)]
    _write_lines(out / "provenance.jsonl", origins)
    _write_lines(out / "exclusions.jsonl", [exclusion.model_dump() for exclusion in splits.exclusions])


def pool_texts(pool: Sequence[Example]) -> Iterator[str]:
    """The texts of the candidates, calls as JSON: what a tokenizer is trained on."""
    for example in pool:
        yield example.query
        if example.call:
            yield json.dumps(example.call.model_dump(), ensure_ascii=False)
        if example.result:
            yield example.result
        yield example.answer


def _origin(split: str, row: int, example: Example, unseen: frozenset[str]) -> dict[str, Any]:
    kept = example.model_dump(include={"id", "kind", "group", "query", "provenance", "output_sha256"})
    return {"split": split, "row": row} | kept | {"unseen_phrasing": example.provenance.phrasing in unseen}


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
