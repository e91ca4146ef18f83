"""Templates, stylesheets and scripts are parsed, not searched."""

from phase8.corpus.sources.asset_index import index_asset
from phase8.corpus.sources.symbols import Asset, AssetKind

TEMPLATE = """{% extends "base.html" %}
{# {% block hidden %} #}
{%- block title -%}<h1 id="top" class="id">{% block {{ x }}</h1>{%- endblock %}
{% include 'nav.html' %}
<p id="row-{{ n }}">id="text"</p>
"""
BROKEN = "{% block a %}\n{{ 'open }}\n"
STYLE = """/* .gone { } */
.a .b > c,
d:hover { content: ".not" }
@media print { .z { color: red } }
"""
SCRIPT = """function show(a) { fetch("/x"); }
// function gone() {}
const hide = (x) => 1, other = function () {}, text = "function no() {}";
class Box { open() { return new XMLHttpRequest(); } }
prefetch(1);
"""


def parts(text: str, kind: AssetKind, file: str) -> list[tuple[str, str, int]]:
    """Kind, name and line of everything in a file."""
    asset = Asset(distribution="Shop", version="1.0", kind=kind, file=file)
    return [(part.kind, part.name, part.line) for part in index_asset(text, asset)]


def test_a_template_has_blocks_other_templates_and_ids() -> None:
    """Comments, plain text and computed ids are none."""
    text = TEMPLATE.replace("{% block {{ x }}", "")
    assert parts(text, "template", "shop/a.html") == [
        ("extends", "base.html", 1),
        ("block", "title", 3),
        ("element id", "top", 3),
        ("include", "nav.html", 4),
    ]


def test_a_template_that_is_not_jinjas_or_djangos_has_no_blocks() -> None:
    """Half a count would be a false one."""
    assert parts(BROKEN, "template", "shop/a.jinja") == []


def test_a_stylesheet_has_rules_by_their_selectors() -> None:
    """Those in media queries too; comments and strings are none."""
    assert parts(STYLE, "stylesheet", "shop/a.css") == [("css rule", ".a .b > c, d:hover", 2), ("css rule", ".z", 4)]


def test_a_script_has_functions_and_requests() -> None:
    """Declared, assigned and methods; comments, strings and similar names are none."""
    assert parts(SCRIPT, "script", "shop/a.js") == [
        ("script function", "show", 1),
        ("fetch call", "fetch", 1),
        ("script function", "hide", 3),
        ("script function", "other", 3),
        ("script function", "open", 4),
        ("fetch call", "XMLHttpRequest", 4),
    ]
