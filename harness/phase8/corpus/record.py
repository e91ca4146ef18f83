"""Writes what a corpus consists of: ``corpus.json`` and, for a mined one, ``leakage.json``."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from phase8.chat.formats import Tools, parse_reply
from phase8.chat.jsonl import read_rows
from phase8.core.artefact import digest
from phase8.core.file_hashes import file_sha256
from phase8.corpus.checks.leakage import measure, require_none
from phase8.corpus.pool import Splits
from phase8.corpus.split.decontamination import HeldBack
from phase8.corpus.split.pruning import by_reason
from phase8.corpus.split.quotas import KINDS, NAMES
from phase8.profile.terms import Format
from phase8.record.run import CorpusRecord


def write_mined_record(
    splits: Splits, held_back: Mapping[str, HeldBack], row_tokens: int, longest: int, pool: Path, out: Path
) -> None:
    """Write ``leakage.json`` and ``corpus.json`` beside the finished splits.

    Raises:
        InvalidInput: the splits leak.
    """
    leakage = measure(splits.by_name, held_back, splits.unseen)
    require_none(leakage)
    (out / "leakage.json").write_text(leakage.model_dump_json(indent=1) + "\n", encoding="utf-8", newline="\n")
    kinds = {name: Counter(e.kind for e in examples) for name, examples in splits.by_name.items()}
    chosen = [e for examples in splits.by_name.values() for e in examples]
    origins = Counter(e.provenance.distribution for e in chosen if e.provenance.distribution)
    pool_sha256 = file_sha256(pool / "pool.jsonl")
    record = CorpusRecord(
        train=len(splits.train),
        valid=len(splits.valid),
        test=len(splits.test),
        tool_share=sum(e.kind == "tool" for e in chosen) / len(chosen),
        row_tokens=row_tokens,
        longest_row_tokens=longest,
        kinds={name: {kind: counted[kind] for kind in KINDS} for name, counted in kinds.items()},
        candidates=len(chosen) + len(splits.exclusions),
        excluded=by_reason(splits.exclusions),
        distributions={name: origins[name] for name in sorted(origins)},
        hand_written=sum(e.preferred for e in chosen),
        leakage=leakage,
        pool_key=pool.name,
        pool_sha256=pool_sha256,
    )
    _write(out, record)


def write_record(out: Path, style: Format, tools: Tools, row_tokens: int) -> None:
    """Write ``corpus.json`` beside the user's own splits; a row calls if its first reply does."""
    counts, calls = dict.fromkeys(NAMES, 0), 0
    for name in NAMES:
        for row in read_rows(out / f"{name}.jsonl") if (out / f"{name}.jsonl").exists() else ():
            counts[name] += 1
            first = next(m for m in row["messages"] if m["role"] == "assistant")
            calls += bool(first.get("tool_calls") or parse_reply(first.get("content") or "", style, tools).calls)
    share = calls / sum(counts.values())
    record = CorpusRecord(
        train=counts["train"],
        valid=counts["valid"],
        test=counts["test"],
        tool_share=share,
        row_tokens=row_tokens,
        longest_row_tokens=None,
    )
    _write(out, record)


def _write(out: Path, record: CorpusRecord) -> None:
    """Write the record with the hashes of the files beside it, chained to that of the pool."""
    files = {path.name: file_sha256(path) for path in sorted(out.glob("*.json*")) if path.name != "corpus.json"}
    whole = digest({"pool": record.pool_sha256, "files": files})
    hashed = record.model_copy(update={"sha256": files, "corpus_sha256": whole})
    (out / "corpus.json").write_text(hashed.model_dump_json(indent=1) + "\n", encoding="utf-8", newline="\n")
