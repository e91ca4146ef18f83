"""Tool examples mined from the sources: every call is executed and every closing answer is true."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from phase8.chat.formats import Call, render_call
from phase8.core.errors import InvalidInput
from phase8.core.values import Frozen
from phase8.corpus.mining.direct_answers import hand_written
from phase8.corpus.mining.example import Example, example_id
from phase8.corpus.mining.subjects import Subject, subjects
from phase8.corpus.mining.templates import Phrasing, read_phrasings
from phase8.corpus.sources.distributions import Sources
from phase8.corpus.tools.run import is_cut, run, shorten
from phase8.profile.sections import MinedCorpus, Prompting
from phase8.profile.terms import Format

# The pool is about four times the corpus, so that token limits and splits find enough to choose from.
_POOL_FACTOR = 4
_PER_TOPIC = 3
# Token limits leave out more than half of some phrasings' examples: none may end with too few to choose from.
_SMALLEST_SHARE = 18
# What lies outside the domain is there to be left out: enough to show that it is, no more.
_OUTSIDE_FACTOR = 0.2
# An agent shows a few lines of a long output; the first number is lines, the second characters.
_CUTS = ((1, 80), (1, 80), (2, 100), (3, 120))
# Rows of fewer tokens have no room for more than this many characters of output.
_SHORT_ROW_TOKENS, _SHORT_CHARACTERS = 256, 60


class Facts(Frozen):
    """What a closing answer may say about an output; a number is None where the output has none."""

    count: int
    number: int | None
    path: str
    line: int | None

    def fields(self) -> dict[str, str | int | None]:
        """The facts and the counted nouns, by the names that closing answers use."""
        nouns = {"hits": ("match", "matches"), "files": ("file", "files"), "entries": ("entry", "entries")}
        nouns["rows"] = ("line", "lines")
        counted = {key: f"{self.count} {one if self.count == 1 else many}" for key, (one, many) in nouns.items()}
        return self.model_dump() | counted


def chosen_phrasings(about: Sequence[str]) -> list[Phrasing]:
    """The phrasings that ask about the named subjects, or all of them.

    Raises:
        InvalidInput: no phrasing asks about one of the names.
    """
    phrasings = read_phrasings()
    known = {phrasing.about for phrasing in phrasings}
    if unknown := sorted(set(about) - known):
        raise InvalidInput(f"corpus.subjects: {', '.join(unknown)} unknown. Allowed: {', '.join(sorted(known))}")
    return [phrasing for phrasing in phrasings if not about or phrasing.about in about]


def tool_examples(
    corpus: MinedCorpus, prompting: Prompting, sources: Sources, random_: random.Random, *, outside: bool = False
) -> Iterator[Example]:
    """For every phrasing a fair share of the pool, from the shortest subjects that it can ask about.

    Up to a third of a share asks about what a hand-written answer explains, so that the same noun stands in
    queries of both kinds. ``outside`` takes a small sample, of sources that are outside the domain.
    """
    phrasings = chosen_phrasings(corpus.subjects)
    factor, least = (_OUTSIDE_FACTOR, 1) if outside else (_POOL_FACTOR, _SMALLEST_SHARE)
    share = max(least, round(factor * corpus.examples * corpus.tool_share / len(phrasings)) + 1)
    explained = frozenset(example.group for example in hand_written())
    asked: Counter[str] = Counter()
    found: dict[str, list[Subject]] = {}
    for subject in subjects(sources):
        found.setdefault(subject.about, []).append(subject)
    phrasings_about = Counter(phrasing.about for phrasing in phrasings)
    for phrasing in phrasings:
        about = found.get(phrasing.about, [])
        contrasts = [s for s in about if s.group in explained and not asked[s.group]][: share // 3]
        short = share * max(2, phrasings_about[phrasing.about] // 2)
        candidates = about[:short]
        random_.shuffle(candidates)
        made = 0
        for subject in _once([*contrasts, *candidates, *about[short : 2 * short]]):
            if made == share:
                break
            if asked[subject.group] == _PER_TOPIC:
                continue
            if example := _tool_example(phrasing, subject, prompting.format, sources, _cut(corpus, random_)):
                asked[subject.group] += 1
                made += 1
                yield example


def _once(found: list[Subject]) -> Iterator[Subject]:
    seen: set[int] = set()
    for subject in found:
        if id(subject) not in seen:
            seen.add(id(subject))
            yield subject


def _tool_example(
    phrasing: Phrasing, subject: Subject, format_: Format, sources: Sources, cut: tuple[int, int]
) -> Example | None:
    """The example, or None where the tool finds nothing or not what was asked for, or the cut hides the answer."""
    call = _call(phrasing, subject)
    output = run(call, sources.tree)
    result = shorten(output, *cut)
    if not _shows_something(result) or is_cut(output):
        return None
    facts = facts_of(output, phrasing)
    if any(getattr(facts, fact) != subject.fields[field] for fact, field in phrasing.expects.items()):
        return None
    if "{path}" in phrasing.closing and facts.path not in result:
        return None
    try:
        render_call(call, format_)
    except InvalidInput:
        return None  # this format cannot carry the call
    query = phrasing.query.format(**subject.fields)
    return Example(
        id=example_id("tool", query),
        kind="tool",
        group=subject.group,
        query=query,
        call=call,
        result=result,
        output_sha256=hashlib.sha256(output.encode()).hexdigest(),
        answer=phrasing.closing.format(**(subject.fields | facts.fields())),
        provenance=subject.provenance(phrasing.id),
    )


def _cut(corpus: MinedCorpus, random_: random.Random) -> tuple[int, int]:
    """The lines and characters of an output that are shown."""
    lines, characters = random_.choice(_CUTS)
    return lines, characters if corpus.row_tokens > _SHORT_ROW_TOKENS else min(characters, _SHORT_CHARACTERS)


def _shows_something(result: str) -> bool:
    """Whether the first line says anything, and no line holds control characters."""
    return any(map(str.isalnum, result.partition("\n")[0])) and all(c.isprintable() or c in "\n\t" for c in result)


def _call(phrasing: Phrasing, subject: Subject) -> Call:
    filled = {
        key: value.format(**subject.fields) if isinstance(value, str) else value
        for key, value in phrasing.arguments.items()
    }
    return Call(name=phrasing.tool, arguments=filled)


def facts_of(output: str, phrasing: Phrasing) -> Facts:
    """What the output of a phrasing's tool says."""
    rows = output.split("\n")
    head, _, rest = rows[0].partition(":")
    path = head if phrasing.shape in ("path", "path:line") else ""
    first = {"path:line": rest.partition(":")[0], "line": head, "number": rows[0]}.get(phrasing.shape, "")
    number = int(first) if first.isdecimal() else None
    return Facts(count=len(rows), number=number, path=path, line=number)
