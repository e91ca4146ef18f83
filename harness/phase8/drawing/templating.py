"""Jinja2 templates whose values are hostile: whatever a file or a model wrote is escaped and made visible."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phase8.core.safe_text import markdown_text, visible

if TYPE_CHECKING:
    from jinja2 import Environment, Template

TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN_LIMIT = 600  # characters of one value


def html_template(name: str) -> "Template":
    """A template of a page; ``|safe`` marks charts and the page's own script, which are ours."""
    return _templates(escape=True).get_template(name)


def markdown_template(name: str) -> "Template":
    """A template of Markdown; ``|safe`` marks numbers and code blocks, which are ours."""
    return _templates(escape=False).get_template(name)


@cache
def _templates(*, escape: bool) -> "Environment":
    """The folder of templates; what was compiled is kept."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only a finished report needs it

    def finalize(value: Any) -> Any:
        if type(value) is not str:
            return value
        return visible(value) if escape else markdown_text(value, _MARKDOWN_LIMIT)

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=escape,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
