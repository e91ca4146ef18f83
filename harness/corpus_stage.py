"""The corpus as stages: what pool and corpus are made from, and the rows they end as."""

import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.asset_index import PARSERS
from harness.cases import CASES, system_message
from harness.errors import InvalidInput
from harness.formats import Tools, opening, parse_reply
from harness.profile import FilesCorpus, Located, MinedCorpus
from harness.record import CorpusRecord
from harness.rows import read_rows
from harness.store import file_sha256

if TYPE_CHECKING:
    from harness.engine.chat import Row

SPLITS = ("train", "valid", "test")
# Prose is harder to learn than a count or a path: without this the tiny base never learns to end a sentence.
_ANSWER_REPEATS = 3
_CASE_FILES = ("direct.jsonl", "phrasings.jsonl", "canonical.jsonl", "tools.json")


def pool_inputs(located: Located) -> dict[str, Any]:
    """What the pool of examples depends on: sources, seed, hand-written cases and the call format."""
    corpus = _mined(located)
    versions = {}
    for name in (*corpus.distributions, *corpus.outside, *PARSERS):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "distributions": versions,
        "outside": list(corpus.outside),
        "examples": corpus.examples,
        "tool_share": corpus.tool_share,
        "subjects": list(corpus.subjects),
        "seed": corpus.seed,
        "format": located.profile.prompting.format,
        "cases": {name: file_sha256(CASES / name) for name in _CASE_FILES},
    }


def corpus_inputs(located: Located, tools: Tools) -> dict[str, Any]:
    """What the corpus depends on beside pool and tokenizer."""
    corpus = located.profile.corpus
    inputs: dict[str, Any] = {
        "corpus": corpus.model_dump(mode="json") if corpus else None,
        "prompting": located.profile.prompting.model_dump(mode="json"),
        "tools": tools,
    }
    if isinstance(corpus, FilesCorpus):
        files = {split: getattr(corpus, split) for split in SPLITS}
        paths = {split: located.resolve(name) for split, name in files.items() if name}
        for path in paths.values():
            if not path.is_file():
                raise InvalidInput(f"{located.path}: {path}: no such file")
        inputs["files"] = {split: file_sha256(path) for split, path in paths.items()}
    return inputs


def build_pool(located: Located, out: Path) -> None:
    """Write ``pool.jsonl``: every candidate example, one JSON object a line."""
    from harness import corpus, sources

    mined = _mined(located)
    outside = sources.read(mined.outside) if mined.outside else None
    examples = corpus.pool(mined, located.profile.prompting, sources.read(mined.distributions), outside)
    with (out / "pool.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(example.model_dump_json() + "\n" for example in examples)


def pool_texts(pool: Path) -> Iterator[str]:
    """The texts of a pool artefact, to train a tokenizer on."""
    from harness import corpus

    yield from ["system\n", "user\n", "assistant\n", "tool\n"] * 1000  # so that a role's name is one token
    yield from corpus.pool_texts(_read_pool(pool))


def build_corpus(located: Located, tools: Tools, pool_and_tokenizer: tuple[Path, Path] | None, out: Path) -> None:
    """Write the three splits and ``corpus.json``, mined or from the user's files."""
    if pool_and_tokenizer is None:
        _copy_files(located, tools, out)
        return
    from harness import corpus
    from harness.engine.chat import prompt_tokens, read_tokenizer

    mined, prompting = _mined(located), located.profile.prompting
    pool, tokenizer_folder = pool_and_tokenizer
    tokenizer = read_tokenizer(tokenizer_folder)
    system = len(prompt_tokens(tokenizer, system_message(prompting, tools))) if prompting.system else 0
    if system > mined.system_tokens:
        raise InvalidInput(
            f"{located.path}: prompting.system is {system} tokens; corpus.system_tokens allows {mined.system_tokens}"
        )

    def length(messages: list[dict[str, Any]]) -> int:
        return len(tokenizer.apply_chat_template(messages))

    def fits(messages: list[dict[str, Any]]) -> bool:
        for message in messages:
            if message["role"] == "assistant":
                calls = message["content"].startswith(opening(prompting.format))
                limit = mined.call_tokens if calls else mined.answer_tokens
                if len(tokenizer.encode(message["content"], add_special_tokens=False)) > limit:
                    return False
        return length(messages) <= mined.row_tokens

    splits = corpus.select(_read_pool(pool), mined, prompting, tools, fits)
    corpus.write(splits, prompting, tools, out)
    _record(out, prompting.format, tools, mined.row_tokens, length)


def answering_rows(located: Located, corpus: Path, tokenizer_folder: Path) -> "list[Row]":
    """What ``pocket``'s base learns: in a chat it only ever answers; of calls it has read as plain text.

    Every training query is answered directly, its call and result left out. Beside it
    stand queries and calls as text outside any conversation, as a pretrained model
    has read command lines long before it is taught to use them.
    """
    from harness.engine.chat import read_tokenizer, stop_ids, text_row, training_row

    tokenizer = read_tokenizer(tokenizer_folder)
    stops = stop_ids(tokenizer, located.profile.prompting.stop_sequences)
    rows = []
    for row in read_rows(corpus / "train.jsonl"):
        messages = row["messages"]
        asked = [message for message in messages if message["role"] in ("system", "user")]
        answered = training_row(tokenizer, [*asked, messages[-1]], stops)
        if messages[-2]["role"] == "tool":
            rows += [answered, text_row(tokenizer, "\n".join(message["content"] for message in messages[-4:]))]
        else:
            rows += [answered] * _ANSWER_REPEATS
    return rows


def read_corpus_record(corpus: Path) -> CorpusRecord:
    """The counts of a corpus artefact."""
    return CorpusRecord.model_validate_json((corpus / "corpus.json").read_text(encoding="utf-8"))


def _copy_files(located: Located, tools: Tools, out: Path) -> None:
    corpus = located.profile.corpus
    assert isinstance(corpus, FilesCorpus)
    for split in SPLITS:
        if name := getattr(corpus, split):
            rows = read_rows(located.resolve(name))
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            (out / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    _record(out, located.profile.prompting.format, tools, corpus.row_tokens, None)


def _record(out: Path, style: Any, tools: Tools, limit: int, length: Any) -> None:
    counts, calls, longest = dict.fromkeys(SPLITS, 0), 0, 0
    for split in SPLITS:
        if not (out / f"{split}.jsonl").exists():
            continue
        for row in read_rows(out / f"{split}.jsonl"):
            counts[split] += 1
            first = next(m for m in row["messages"] if m["role"] == "assistant")
            calls += bool(first.get("tool_calls") or parse_reply(first.get("content") or "", style, tools).calls)
            longest = max(longest, length(row["messages"]) if length else 0)
    record = CorpusRecord(
        **counts, tool_share=calls / sum(counts.values()), row_tokens=limit, longest_row_tokens=longest or None
    )
    (out / "corpus.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")


def _read_pool(pool: Path) -> list[Any]:
    from harness.corpus import Example

    lines = (pool / "pool.jsonl").read_text(encoding="utf-8").split("\n")
    return [Example.model_validate_json(line) for line in lines if line]


def _mined(located: Located) -> MinedCorpus:
    assert isinstance(located.profile.corpus, MinedCorpus)
    return located.profile.corpus
