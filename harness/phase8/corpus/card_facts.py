"""What a built corpus consists of, read from its files alone; what a file leaves out is None."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from phase8.chat.formats import parse_reply
from phase8.chat.jsonl import read_rows
from phase8.corpus.split.quotas import KINDS, NAMES, Kind
from phase8.profile.profile import Profile
from phase8.profile.terms import Format
from phase8.record.run import CorpusRecord

HAND_WRITTEN = "hand-written"
PHRASINGS_SHOWN = 40
EXAMPLES_SHOWN = 3
Length = Callable[[list[dict[str, Any]]], int]


class Entry(NamedTuple):
    """One row: its split, what its first reply does, its messages, its line of provenance."""

    split: str
    kind: Kind
    messages: list[dict[str, Any]]
    origin: dict[str, Any] | None


class Split(NamedTuple):
    """How many rows of each kind a split has."""

    name: str
    tool: int
    direct: int


class Source(NamedTuple):
    """A distribution: examples taken from it, candidates left out, and the licence it is under."""

    distribution: str
    version: str
    examples: int
    left_out: int
    licence: str


class Phrasing(NamedTuple):
    """A way to ask and how many examples ask so; ``unseen`` is one that training never saw, None is not recorded."""

    name: str
    examples: int
    unseen: bool | None


class Card(NamedTuple):
    """Everything a data card says; lengths are of whole rows, in ``unit``, by kind."""

    profile: Profile
    record: CorpusRecord
    splits: tuple[Split, ...]
    unit: str
    lengths: dict[Kind, list[int]]
    sources: tuple[Source, ...] | None
    phrasings: tuple[Phrasing, ...] | None
    reasons: dict[str, int] | None
    leakage: tuple[tuple[str, str], ...] | None
    examples: dict[Kind, tuple[Entry, ...]]

    @property
    def unseen(self) -> int | None:
        """The rows that are phrased as no training row is; None is not recorded."""
        known = [phrasing for phrasing in self.phrasings or () if phrasing.unseen is not None]
        return sum(phrasing.examples for phrasing in known if phrasing.unseen) if known else None

    @property
    def total(self) -> int:
        """The rows of all splits."""
        return sum(split.tool + split.direct for split in self.splits)


def gather(corpus: Path, profile: Profile, length: Length | None) -> Card:
    """Read a corpus folder; ``length`` counts the tokens of a conversation, without it characters are counted."""
    entries = list(_entries(corpus, profile.prompting.format))
    count = length or _characters
    origins = [entry.origin for entry in entries if entry.origin]
    excluded = _lines(corpus / "exclusions.jsonl")
    reasons = None if excluded is None else dict(Counter(line["reason"] for line in excluded).most_common())
    leakage = corpus / "leakage.json"
    return Card(
        profile=profile,
        record=CorpusRecord.model_validate_json((corpus / "corpus.json").read_text(encoding="utf-8")),
        splits=tuple(_split(name, entries) for name in NAMES if (corpus / f"{name}.jsonl").is_file()),
        unit="tokens" if length else "characters",
        lengths={kind: [count(entry.messages) for entry in entries if entry.kind == kind] for kind in KINDS},
        sources=_sources(origins, excluded or []) if origins else None,
        phrasings=_phrasings(origins) if origins else None,
        reasons=reasons,
        leakage=tuple(_flat(json.loads(leakage.read_text(encoding="utf-8")))) if leakage.is_file() else None,
        examples={kind: _shown([entry for entry in entries if entry.kind == kind]) for kind in KINDS},
    )


def _entries(corpus: Path, style: Format) -> Iterator[Entry]:
    """The rows of all splits in order, each with its provenance where the corpus has one."""
    origins = {(line["split"], line["row"]): line for line in _lines(corpus / "provenance.jsonl") or []}
    for name in NAMES:
        path = corpus / f"{name}.jsonl"
        for index, row in enumerate(read_rows(path) if path.is_file() else []):
            origin = origins.get((name, index))
            yield Entry(name, origin["kind"] if origin else _kind(row["messages"], style), row["messages"], origin)


def _kind(messages: Sequence[dict[str, Any]], style: Format) -> Kind:
    """What a row's first reply does; any tool counts, since rows made elsewhere bring their own."""
    first = next(message for message in messages if message["role"] == "assistant")
    calls = first.get("tool_calls") or parse_reply(first["content"], style, []).decision != "answer"
    return "tool" if calls else "direct"


def _split(name: str, entries: Sequence[Entry]) -> Split:
    kinds = Counter(entry.kind for entry in entries if entry.split == name)
    return Split(name, kinds["tool"], kinds["direct"])


def _sources(origins: Sequence[dict[str, Any]], excluded: Sequence[dict[str, Any]]) -> tuple[Source, ...]:
    taken = Counter(origin["provenance"]["distribution"] for origin in origins)
    left_out = Counter(line.get("distribution") for line in excluded)
    versions = {origin["provenance"]["distribution"]: origin["provenance"]["version"] for origin in origins}
    return tuple(
        Source(
            name or HAND_WRITTEN,
            versions.get(name) or "",
            taken[name],
            left_out[name],
            licence(name) if name else "that of this repository",
        )
        for name in sorted({*taken, *left_out}, key=lambda name: (-taken[name], name or ""))
    )


def licence(distribution: str) -> str:
    """The licence that an installed distribution declares in its metadata."""
    try:
        found = metadata.metadata(distribution)
    except metadata.PackageNotFoundError:
        return "unknown: not installed"
    named = [value for key in ("License-Expression", "License") for value in found.get_all(key) or []]
    declared = next((value.strip().split("\n")[0] for value in named if value.strip() not in ("", "UNKNOWN")), "")
    classified = [c.rpartition(" :: ")[2] for c in found.get_all("Classifier") or [] if c.startswith("License ::")]
    return declared or ", ".join(classified) or "not declared"


def _phrasings(origins: Sequence[dict[str, Any]]) -> tuple[Phrasing, ...]:
    count = Counter(origin["provenance"]["phrasing"] for origin in origins)
    unseen = {origin["provenance"]["phrasing"]: origin.get("unseen_phrasing") for origin in origins}
    ordered = sorted(count.items(), key=lambda found: (-found[1], found[0]))
    return tuple(Phrasing(name, number, unseen[name]) for name, number in ordered)


def _shown(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The first few rows, no two of the same phrasing as long as there are others."""
    first: dict[Any, Entry] = {}
    for index, entry in enumerate(entries):
        first.setdefault(entry.origin["provenance"]["phrasing"] if entry.origin else index, entry)
    chosen = list(first.values())[:EXAMPLES_SHOWN]
    others = [entry for entry in entries if all(entry is not one for one in chosen)]
    return tuple(chosen + others[: EXAMPLES_SHOWN - len(chosen)])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The figures of a JSON object as name and text; of a list the length and its first entries."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name} / {key}" if name else key)
    elif isinstance(value, list):
        first = "; ".join(json.dumps(entry, ensure_ascii=False) for entry in value[:3])
        yield name, f"{len(value)}: {first}" if value else "0"
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


def _lines(path: Path) -> list[dict[str, Any]] | None:
    if not path.is_file():
        return None
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _characters(messages: list[dict[str, Any]]) -> int:
    return sum(len(message.get("content") or "") for message in messages)
