"""What templates, stylesheets and scripts hold, by real parsers: tree-sitter's grammars and Jinja's lexer.

Django and Jinja write their tags alike, so one lexer reads the blocks of both. What a grammar cannot follow (CSS
strings with braces in them) is left out; counts are compared with executed output before they are told.
"""

from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING

from phase8.corpus.sources.symbols import Asset, Part, PartKind

if TYPE_CHECKING:
    from jinja2 import Environment
    from tree_sitter import Parser, Query

PARSERS = ("tree-sitter", "tree-sitter-html", "tree-sitter-css", "tree-sitter-javascript", "Jinja2")
_QUERIES = {
    "html": '((attribute (attribute_name) @_n (quoted_attribute_value (attribute_value) @id)) (#eq? @_n "id"))',
    "css": "(rule_set (selectors) @rule)",
    "javascript": """
        (function_declaration name: (identifier) @function)
        (generator_function_declaration name: (identifier) @function)
        (method_definition name: (property_identifier) @function)
        (variable_declarator name: (identifier) @function value: [(arrow_function) (function_expression)])
        ((call_expression function: (identifier) @fetch) (#eq? @fetch "fetch"))
        ((new_expression constructor: (identifier) @fetch) (#eq? @fetch "XMLHttpRequest"))
    """,
}
_CAPTURES: dict[str, PartKind] = {
    "id": "element id",
    "rule": "css rule",
    "function": "script function",
    "fetch": "fetch call",
}
_TAGS: dict[str, PartKind] = {"block": "block", "extends": "extends", "include": "include"}


def index_asset(text: str, asset: Asset) -> list[Part]:
    """The parts of a file in their order: blocks, ids, rules, functions and requests."""
    if asset.kind == "stylesheet":
        return list(_captured("css", text, asset))
    if asset.kind == "script":
        return list(_captured("javascript", text, asset))
    found = [*_tags(text, asset), *(_captured("html", text, asset) if asset.file.endswith(".html") else ())]
    return sorted(found, key=lambda part: part.line)


def _captured(language: str, text: str, asset: Asset) -> Iterator[Part]:
    from tree_sitter import QueryCursor

    parser, query = _grammar(language)
    captures = QueryCursor(query).captures(parser.parse(text.encode()).root_node)
    nodes = [(node.start_byte, name, node) for name, found in captures.items() for node in found if name in _CAPTURES]
    part = partial(Part, distribution=asset.distribution, version=asset.version, file=asset.file)
    for _, name, node in sorted(nodes, key=lambda found: found[:2]):
        words = " ".join((node.text or b"").decode().split())
        if words and not ("{{" in words or "{%" in words):  # an id that a template computes is no name
            yield part(kind=_CAPTURES[name], name=words, line=node.start_point.row + 1)


@cache
def _grammar(language: str) -> "tuple[Parser, Query]":
    from tree_sitter import Language, Parser, Query

    capsule: object = import_module(f"tree_sitter_{language}").language()
    grammar = Language(capsule)
    return Parser(grammar), Query(grammar, _QUERIES[language])


def _tags(text: str, asset: Asset) -> Iterator[Part]:
    """The blocks a template defines, and the templates that it extends and includes by name."""
    from jinja2 import TemplateSyntaxError

    part = partial(Part, distribution=asset.distribution, version=asset.version, file=asset.file)
    try:
        tokens = [token for token in _lexer().lex(text) if token[1] != "whitespace"]
    except TemplateSyntaxError:
        return  # a template of another language has no tags here
    for (_, opened, _), (line, kind, tag), (_, value_kind, value) in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opened == "block_begin" and kind == "name" and tag in _TAGS:
            if tag == "block" and value_kind == "name":
                yield part(kind="block", name=value, line=line)
            elif tag != "block" and value_kind == "string":
                yield part(kind=_TAGS[tag], name=value[1:-1], line=line)


@cache
def _lexer() -> "Environment":
    from jinja2 import Environment

    return Environment()  # nothing is rendered: autoescaping would change nothing
