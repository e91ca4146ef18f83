"""Text from a model, made safe to look at: what would act on a screen is shown as a sign instead."""

import re

_ACTING = [
    *(code for code in range(0x20) if chr(code) not in "\n\t"),
    *range(0x7F, 0xA0),  # DEL and C1 controls: some terminals read 0x9B as ESC [
    *[0x061C, 0x200B, 0x200E, 0x200F, 0xFEFF],  # marks without width
    *range(0x2028, 0x202F),  # line and paragraph separators, bidi embeddings and overrides
    *range(0x2060, 0x2070),  # word joiner, bidi isolates, deprecated format characters
    *range(0xD800, 0xE000),  # lone surrogates, which UTF-8 cannot hold
    *range(0xE0000, 0xE0080),  # tag characters
]
_SIGNS = {code: f"\u27e8U+{code:04X}\u27e9" for code in _ACTING}


def visible(text: str) -> str:
    """The text with control characters, bidi controls and marks without width replaced by visible signs.

    Line feed and tab stay. Letters of every script stay, and so does the zero-width joiner, which many need.
    """
    return text.translate(_SIGNS)


def one_line(text: str, limit: int) -> str:
    """The visible text on one line, cut to ``limit`` characters with the number left out."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else f"{line[:limit]}… ({len(line) - limit:,} more characters)"


def markdown_text(text: str, limit: int) -> str:
    """One line for a paragraph or a table cell of Markdown: no markup, no link, nobody mentioned."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", one_line(text, limit))
    return re.sub(r"(@|://|www\.)", lambda found: f"{found[0]}\u2060", escaped)
