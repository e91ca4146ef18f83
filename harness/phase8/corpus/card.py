"""The data card of a corpus: ``data_card.md`` and ``data_card.html`` beside its rows."""

import json
from pathlib import Path
from textwrap import indent
from typing import Any

from phase8.core.files import write_text
from phase8.core.safe_text import visible
from phase8.corpus.card_facts import PHRASINGS_SHOWN, Card, Entry, Length, gather
from phase8.corpus.split.quotas import KINDS, Kind
from phase8.drawing.svg import Chart, inline_axes
from phase8.drawing.templating import html_template, markdown_template
from phase8.profile.profile import Profile

MARKDOWN, PAGE = "data_card.md", "data_card.html"
_COLOURS: dict[Kind, str] = {"tool": "#3b82c4", "direct": "#c2703d"}
_TURN = 800  # characters of one message of an example
_USE = (
    "Meant for training a model, and judging it, on whether a question needs one of the profile's tools "
    "or only an answer."
)
_LIMITS = (
    "It knows the sources, tools and ways of asking listed here and no others, so a figure measured on it "
    "says nothing about other domains, tools or languages, nor about how good a direct answer is."
)


def write(corpus: Path, profile: Profile, length: Length | None = None) -> None:
    """Write both cards into a corpus folder whose other files are finished.

    Args:
        corpus: the folder; ``corpus.json`` and the splits must be in it, the rest may be missing.
        profile: what the corpus was built for.
        length: tokens of a conversation's messages; without it the lengths shown are characters.
    """
    card = gather(corpus, profile, length)
    values = {
        "card": card,
        "phrasings_shown": PHRASINGS_SHOWN,
        "unseen": card.unseen,
        "spread": _spread(card),
        "text": _text,
        "use": _USE,
        "limits": _LIMITS,
    }
    write_text(corpus / MARKDOWN, markdown_template("data_card.md.j2").render(**values, code=_code))
    write_text(corpus / PAGE, html_template("data_card.html.j2").render(**values, charts=_charts(card)))


def _charts(card: Card) -> tuple[Chart, ...]:
    return _splits_chart(card), _lengths_chart(card)


def _splits_chart(card: Card) -> Chart:
    title = "Rows by split"
    with inline_axes(title) as (axes, svg):
        names = [split.name for split in card.splits]
        tools = [split.tool for split in card.splits]
        axes.bar(names, tools, color=_COLOURS["tool"], label="tool")
        axes.bar(names, [split.direct for split in card.splits], bottom=tools, color=_COLOURS["direct"], label="direct")
        axes.set_ylabel("rows")
    return Chart(title, svg[0], "")


def _lengths_chart(card: Card) -> Chart:
    title = f"Row lengths, {card.unit}"
    caption = ""
    with inline_axes(title) as (axes, svg):
        drawn = [kind for kind in KINDS if card.lengths[kind]]
        values, colours = [card.lengths[kind] for kind in drawn], [_COLOURS[kind] for kind in drawn]
        axes.hist(values, bins=24, stacked=True, color=colours, label=drawn)
        if card.unit == "tokens":
            axes.axvline(card.record.row_tokens, color="#7d7f86", linestyle="--", label="limit")
            caption = f"No row may be longer than {card.record.row_tokens} tokens."
        axes.set_xlabel(card.unit)
        axes.set_ylabel("rows")
    return Chart(title, svg[0], caption)


def _spread(card: Card) -> dict[Kind, str]:
    """Shortest, median and longest row of each kind."""
    from statistics import median

    return {
        kind: f"{min(found)} / {median(found):g} / {max(found)}" if (found := card.lengths[kind]) else "none"
        for kind in KINDS
    }


def _text(message: dict[str, Any]) -> str:
    """A message's text, its structured calls as JSON, cut where it is very long."""
    calls = [json.dumps(call, ensure_ascii=False) for call in message.get("tool_calls") or []]
    text = "\n".join([*([message["content"]] if message.get("content") else []), *calls])
    return text if len(text) <= _TURN else f"{text[:_TURN]}… ({len(text) - _TURN:,} more characters)"


def _code(entry: Entry) -> str:
    """A conversation as an indented code block, which nothing inside can end."""
    return indent("\n\n".join(f"{m['role']}: {visible(_text(m))}" for m in entry.messages), "    ", lambda _: True)
