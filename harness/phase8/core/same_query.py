"""Whether two queries are the same question: the one folding that every comparison of queries goes through.

Unicode NFKC, case, white space, invisible characters, typographic quotes and the punctuation around a query make no
other question: ``What is a closure``, ``what  is a closure ?!`` and ``"What is a closure?"`` are one. What carries
meaning in code stays: ``What is C#?`` is not ``What is C?``.
"""

import re
import unicodedata

_QUOTES = str.maketrans("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb", "''''" + '"' * 6)
# Marks of sentences and quotations, and what NFKC leaves of other scripts' own. No `#`, `*` or `+`: they are names.
_MARKS = " .,;:!?'\"`\u2026\u00a1\u00bf\u3001\u3002\u0964\u061f\u060c\u061b\u2013\u2014"
_LONE_DASH = re.compile(r"^-+ | -+$")
_ENCLOSED = re.compile(r"\(([^()]*)\)|\[([^][]*)\]|\{([^{}]*)\}")


def folded(query: str) -> str:
    """A query without what makes it no other one; one of marks alone keeps them."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", query).casefold())
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    text = " ".join(text.translate(_QUOTES).split())
    return _bare(text) or text


def _bare(text: str) -> str:
    """The text without surrounding marks, lone dashes and brackets that enclose all of it."""
    while (less := _without_marks(text)) != text:
        text = less
    return text


def _without_marks(text: str) -> str:
    text = _LONE_DASH.sub("", text.strip(_MARKS))
    enclosed = _ENCLOSED.fullmatch(text)
    return next(inner for inner in enclosed.groups() if inner is not None) if enclosed else text
