"""Jinja2 templates whose values are hostile: whatever a file or a model wrote is escaped and made visible."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.visible import markdown_text, visible

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN_LIMIT = 600  # characters of one value


def html_template(name: str) -> "Template":
    """A template of a page; ``|safe`` marks charts, which are ours."""
    return _template(name, visible, escape=True)


def markdown_template(name: str) -> "Template":
    """A template of Markdown; ``|safe`` marks numbers and code blocks, which are ours."""
    return _template(name, lambda text: markdown_text(text, _MARKDOWN_LIMIT), escape=False)


def _template(name: str, shown: Callable[[str], str], *, escape: bool) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only a finished report needs it

    def finalize(value: Any) -> Any:
        return shown(value) if type(value) is str else value

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=escape,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)
