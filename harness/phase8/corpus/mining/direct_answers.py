"""Questions that need no tool: hand-written ones, and ones answered by the first sentence of a docstring."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from phase8.cases.cases import CASES
from phase8.core.errors import InvalidInput
from phase8.core.values import Frozen
from phase8.corpus.mining.example import Example, Provenance, example_id
from phase8.corpus.mining.subjects import public
from phase8.corpus.sources.distributions import Sources, Symbol

HAND_WRITTEN = CASES / "direct.jsonl"
_NOUN_QUERIES = (
    ("doc-what", "What is {name}?"),
    ("doc-what-for", "What is {name} for?"),
    ("doc-what-in", "What is {name} in {dist}?"),
    ("doc-explain", "Explain {name}"),
    ("doc-sentence", "In one sentence, what is {name}?"),
)
_VERB_QUERIES = (
    ("doc-does", "What does {name} do?"),
    ("doc-does-in", "What does {name} do in {dist}?"),
    ("doc-explain-does", "Explain what {name} does"),
    ("doc-short", "In short, what does {name} do?"),
)
_WORDS = range(5, 19)
# Words that point at something outside the sentence, so that it cannot stand alone.
_DANGLING = frozenset(
    ["this", "these", "those", "that's", "below", "above", "following", "see", "note", "todo", "same", "it", "its"]
)
# A sentence that opens with an article says what something is; one that opens with a verb, what it does.
_ARTICLES = frozenset(("A", "An", "The"))
_VERBS = frozenset(
    [
        "Add",
        "Append",
        "Apply",
        "Build",
        "Calculate",
        "Check",
        "Clean",
        "Collect",
        "Compare",
        "Compile",
        "Compute",
        "Convert",
        "Copy",
        "Create",
        "Decode",
        "Delete",
        "Determine",
        "Display",
        "Encode",
        "Escape",
        "Extract",
        "Find",
        "Format",
        "Generate",
        "Get",
        "Handle",
        "Insert",
        "Join",
        "Load",
        "Log",
        "Make",
        "Parse",
        "Print",
        "Process",
        "Raise",
        "Read",
        "Register",
        "Remove",
        "Render",
        "Replace",
        "Represent",
        "Represents",
        "Return",
        "Returns",
        "Run",
        "Save",
        "Send",
        "Serialize",
        "Set",
        "Sort",
        "Split",
        "Store",
        "Transform",
        "Translate",
        "Truncate",
        "Validate",
        "Wrap",
        "Write",
    ]
)
_PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;'()/_.-]*[a-z0-9)]\.")
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)\.(?=\s|$)")


class HandWritten(Frozen):
    """One line of ``direct.jsonl``."""

    id: str
    topic: str
    query: str
    answer: str


def hand_written(path: Path = HAND_WRITTEN) -> Iterator[Example]:
    """The hand-written pairs.

    Raises:
        InvalidInput: a line that is not such a pair.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            pair = HandWritten.model_validate(json.loads(line))
        except ValueError as error:
            raise InvalidInput(f"{path}:{number}: not an id, topic, query and answer: {error}") from error
        origin = Provenance(
            distribution=None,
            version=None,
            file=f"data/cases/{path.name}",
            line=number,
            symbol=pair.id,
            phrasing="hand-written",
        )
        yield _example(pair.topic, pair.query, pair.answer, origin)


def from_docstrings(sources: Sources, random_: random.Random) -> Iterator[Example]:
    """A question for every public class and function whose docstring opens with a sentence that stands alone."""
    for symbol in public(sources):
        sentence = first_sentence(symbol.docstring)
        opening = sentence.split()[0] if sentence else ""
        if sentence is None or opening not in _ARTICLES | _VERBS:
            continue
        phrasing, query = random_.choice(_NOUN_QUERIES if opening in _ARTICLES else _VERB_QUERIES)
        yield _example(
            symbol.name, query.format(name=symbol.name, dist=symbol.distribution), sentence, _origin(symbol, phrasing)
        )


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring where it is complete, plain and short enough to be an answer."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    end = _SENTENCE_END.search(paragraph)
    if not end:
        return None
    sentence = paragraph[: end.end()]
    words = sentence.lower().rstrip(".").split()
    if len(words) not in _WORDS or _DANGLING & set(words) or not _PLAIN.fullmatch(sentence):
        return None
    return sentence if sentence.count("(") == sentence.count(")") else None


def _example(topic: str, query: str, answer: str, origin: Provenance) -> Example:
    return Example(
        id=example_id("direct", query), kind="direct", group=topic, query=query, answer=answer, provenance=origin
    )


def _origin(symbol: Symbol, phrasing: str) -> Provenance:
    return Provenance(
        distribution=symbol.distribution,
        version=symbol.version,
        file=symbol.file,
        line=symbol.line,
        symbol=symbol.name,
        phrasing=phrasing,
    )
