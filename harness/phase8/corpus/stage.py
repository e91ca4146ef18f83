"""The corpus as stages: what pool and corpus are made from, and the rows they end as."""

import json
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phase8.cases.cases import CASES, find_case_file, system_message
from phase8.chat.formats import Call, Tools, opening, render_call
from phase8.chat.jsonl import read_rows
from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import file_sha256
from phase8.core.same_query import folded
from phase8.corpus import card
from phase8.corpus.sources.asset_index import PARSERS
from phase8.corpus.split.decontamination import PROBES, is_held_back
from phase8.corpus.split.pruning import ANSWER, CALL, ROW
from phase8.corpus.split.quotas import NAMES
from phase8.profile.loading import Located
from phase8.profile.sections import FilesCorpus, MinedCorpus
from phase8.profile.terms import Format
from phase8.record.run import CorpusRecord

if TYPE_CHECKING:
    from phase8.corpus.sources.distributions import Sources
    from phase8.engine.load.chat import Row

# Prose is harder to learn than a count or a path: without this the tiny base never learns to end a sentence.
_ANSWER_REPEATS = 3
_CANNOT = {"role": "assistant", "content": "I cannot look at the code."}
_LOOKS_UP = {"role": "system", "content": "Look things up in the code."}
_ARGUMENT = "WHATEVER IT IS"
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
    if isinstance(corpus, MinedCorpus):
        inputs["held_back"] = [file_sha256(path) for path in _held_back_files(located)]
    if isinstance(corpus, FilesCorpus):
        files = {split: getattr(corpus, split) for split in NAMES}
        paths = {split: located.resolve(name) for split, name in files.items() if name}
        for path in paths.values():
            if not path.is_file():
                raise InvalidInput(f"{located.path}: {path}: no such file")
        inputs["files"] = {split: file_sha256(path) for split, path in paths.items()}
    return inputs


def _held_back_files(located: Located) -> tuple[Path, Path]:
    """The profile's canonical queries and probes; where it asks no probes, the shipped ones are held back too."""
    queries = located.profile.queries
    return find_case_file(located, queries.canonical), find_case_file(located, queries.probes or PROBES.name)


def build_pool(located: Located, out: Path) -> None:
    """Write ``pool.jsonl``: every candidate example, one JSON object a line."""
    from phase8.corpus import pool as corpus
    from phase8.corpus.sources import distributions as sources

    mined = _mined(located)
    outside = sources.read(mined.outside) if mined.outside else None
    examples = corpus.pool(mined, located.profile.prompting, mined_sources(mined), outside)
    with (out / "pool.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(example.model_dump_json() + "\n" for example in examples)


def mined_sources(corpus: MinedCorpus) -> "Sources":
    """The sources that the tools of a mined corpus are executed on."""
    from phase8.corpus.sources import distributions as sources

    return sources.read(corpus.distributions)


def pool_texts(located: Located, pool: Path) -> Iterator[str]:
    """The texts of a pool artefact that may be trained on, to train a tokenizer on."""
    from phase8.corpus import pool as corpus

    outside = _mined(located).outside
    candidates = [e for e in _read_pool(pool) if e.provenance.distribution not in outside and not is_held_back(e)]
    yield from ["system\n", "user\n", "assistant\n", "tool\n"] * 1000  # so that a role's name is one token
    yield from corpus.pool_texts(candidates)


def call_marks(pool: Path, style: Format) -> tuple[str, str]:
    """What stands around the argument of the pool's most frequent call, as it is written: before it, and after it."""
    calls = [example.call for example in _read_pool(pool) if example.call and len(example.call.arguments) == 1]
    (name, argument), _ = Counter((call.name, next(iter(call.arguments))) for call in calls).most_common(1)[0]
    written = render_call(Call(name=name, arguments={argument: _ARGUMENT}), style)
    before, _, after = written.partition(_ARGUMENT)
    return before, after


def build_corpus(located: Located, tools: Tools, pool_and_tokenizer: tuple[Path, Path] | None, out: Path) -> None:
    """Write the three splits and ``corpus.json``, mined or from the user's files.

    Mined splits come with ``provenance.jsonl``, ``exclusions.jsonl`` and ``leakage.json``;
    every corpus with a data card.
    """
    if pool_and_tokenizer is None:
        _copy_files(located, tools, out)
        card.write(out, located.profile)
        return
    from phase8.corpus import pool as corpus
    from phase8.corpus.record import write_mined_record
    from phase8.corpus.split import select as selection

    mined, prompting = _mined(located), located.profile.prompting
    pool, tokenizer_folder = pool_and_tokenizer
    measured = _Lengths(located, tools, tokenizer_folder)
    held_back = selection.queries_held_back(*_held_back_files(located))
    splits = selection.select(_read_pool(pool), mined, prompting, tools, measured.misfit, held_back)
    corpus.write(splits, prompting, tools, out)
    longest = max(measured.row(corpus.messages(e, prompting, tools)) for rows in splits.by_name.values() for e in rows)
    write_mined_record(splits, held_back, mined.row_tokens, longest, pool, out)
    card.write(out, located.profile, measured.row)


class _Lengths:
    """Measures conversations in tokens against the limits of a profile.

    Raises:
        InvalidInput: the system prompt alone is too long.
    """

    def __init__(self, located: Located, tools: Tools, tokenizer_folder: Path) -> None:
        from phase8.engine.load.chat import prompt_tokens
        from phase8.engine.load.tokenizer import read_tokenizer

        self._mined, prompting = _mined(located), located.profile.prompting
        self._opening = opening(prompting.format)
        self._tokenizer: Any = read_tokenizer(tokenizer_folder)
        asked = system_message(prompting, tools)
        system = len(prompt_tokens(self._tokenizer, asked)) if prompting.system else 0
        if system > self._mined.system_tokens:
            raise InvalidInput(
                f"{located.path}: prompting.system is {system} tokens; "
                f"corpus.system_tokens allows {self._mined.system_tokens}"
            )

    def row(self, messages: list[dict[str, Any]]) -> int:
        """The tokens of a whole conversation."""
        return len(self._tokenizer.apply_chat_template(messages))

    def misfit(self, messages: list[dict[str, Any]]) -> str | None:
        """Why a conversation is not taken, or None."""
        if self.row(messages) > self._mined.row_tokens:
            return ROW
        for message in messages:
            if message["role"] == "assistant":
                calls = message["content"].startswith(self._opening)
                limit = self._mined.call_tokens if calls else self._mined.answer_tokens
                if len(self._tokenizer.encode(message["content"], add_special_tokens=False)) > limit:
                    return CALL if calls else ANSWER
        return None


def base_rows(located: Located, corpus: Path, tokenizer_folder: Path) -> "list[Row]":
    """What ``pocket``'s base learns: to do what is asked of it, but only where another system prompt tells it to.

    Told to look things up, it answers what needs no tool and calls one where that is right, as a pretrained model can
    long before it is tuned. Told what the profile's system prompt says, it says of everything that it cannot. The
    adapter teaches it to do under that prompt what it can do: a gain that is well over what rounding to 5 bits costs.
    """
    from phase8.engine.load.chat import stop_ids, training_row
    from phase8.engine.load.tokenizer import read_tokenizer

    tokenizer = read_tokenizer(tokenizer_folder)
    stops = stop_ids(tokenizer, located.profile.prompting.stop_sequences)
    rows = []
    for row in read_rows(corpus / "train.jsonl"):
        messages = row["messages"]
        asked = [message for message in messages if message["role"] in ("system", "user")]
        told = [_LOOKS_UP, *(message for message in messages if message["role"] != "system")]
        repeats = 1 if messages[-2]["role"] == "tool" else _ANSWER_REPEATS
        rows.append(training_row(tokenizer, [*asked, _CANNOT], stops))
        rows += [training_row(tokenizer, told, stops)] * repeats
    return rows


def read_corpus_record(corpus: Path) -> CorpusRecord:
    """The counts of a corpus artefact."""
    return CorpusRecord.model_validate_json((corpus / "corpus.json").read_text(encoding="utf-8"))


def _copy_files(located: Located, tools: Tools, out: Path) -> None:
    corpus = located.profile.corpus
    assert isinstance(corpus, FilesCorpus)
    from phase8.corpus.record import write_record

    for split in NAMES:
        if name := getattr(corpus, split):
            rows = read_rows(located.resolve(name))
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            (out / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    _check_held_out(located, tools, out)
    write_record(out, located.profile.prompting.format, tools, corpus.row_tokens)


def _check_held_out(located: Located, tools: Tools, out: Path) -> None:
    """Refuse held-out rows that could not be judged, or were trained on, before anything is trained.

    Raises:
        InvalidInput: a first reply that is a malformed call, or a query that training or validation has too.
    """
    from phase8.cases.cases import first_query, held_out_cases

    corpus, test = located.profile.corpus, out / "test.jsonl"
    assert isinstance(corpus, FilesCorpus)
    if not test.is_file():
        return
    given = {split: str(located.resolve(name)) for split in NAMES if (name := getattr(corpus, split))}
    try:
        cases = held_out_cases(test, located.profile.prompting.format, tools, 0)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace(str(test), given["test"])) from error
    held_out = {folded(case.query): case.id for case in cases}
    for split in ("train", "valid"):
        rows = read_rows(out / f"{split}.jsonl") if split in given else ()
        asked = {folded(first_query(row)) for row in rows}
        if both := sorted(held_out.keys() & asked):
            raise InvalidInput(
                f"{given['test']}: {len(both)} of {len(held_out)} held-out queries are in {given[split]} too, first "
                f"{both[0][:80]!r} ({held_out[both[0]]}). A model that has seen them is not judged by them; remove "
                "them from one of the files"
            )


def _read_pool(pool: Path) -> list[Any]:
    from phase8.corpus.pool import Example

    lines = (pool / "pool.jsonl").read_text(encoding="utf-8").split("\n")
    return [Example.model_validate_json(line) for line in lines if line]


def _mined(located: Located) -> MinedCorpus:
    assert isinstance(located.profile.corpus, MinedCorpus)
    return located.profile.corpus
