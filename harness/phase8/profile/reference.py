"""Every key of a profile with its values and its default, as Markdown.

Read from the JSON schema of the models that read profiles, so that nothing is said twice.
"""

import json
from collections.abc import Iterator
from typing import Any

from phase8.profile.profile import Profile

_HEAD = """# The keys of a profile

A profile is one TOML file. A key that is not listed here is refused with the names of those that are. Paths count
from the profile's folder; hand-written queries and tool schemas are looked for there first, then in `data/cases/`.
The four shipped ones are in `data/profiles/`. A variant that `roles` does not name is a candidate; `[[models]]` have
roles of their own. Written by `python -m harness docs`.
"""
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "under"}
_TYPES = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false"}
Schema = dict[str, Any]


def page() -> str:
    """The whole page."""
    schema = Profile.model_json_schema(mode="validation")
    return "\n".join([_HEAD, *_section("", schema, schema.get("$defs", {}))])


def _section(
    path: str, model: Schema, defs: dict[str, Schema], kind: str = "", repeated: bool = False
) -> Iterator[str]:
    """A model's own keys as a table, then its tables one by one."""
    if path:
        name = f"[[{path}]]" if repeated else f"[{path}]"
        yield f"## `{name}`" + (f' with `kind = "{kind}"`' if kind else "") + "\n"
        yield model.get("description", "").replace("``", "`") + "\n"
    required, tables = model.get("required", ()), []
    rows = []
    for key, value in model["properties"].items():
        if found := _tables(value, defs):
            tables += [(f"{path}.{key}".strip("."), *one) for one in found]
        else:
            default = "needed" if key in required else _default(value.get("default"))
            rows.append(f"| `{key}` | {_allowed(value, defs)} | {default} |")
    if rows:
        yield "\n".join(["| key | value | without it |", "| --- | --- | --- |", *rows]) + "\n"
    for name, one, its_kind, many in tables:
        yield from _section(name, one, defs, its_kind, many)


def _tables(value: Schema, defs: dict[str, Schema]) -> list[tuple[Schema, str, bool]]:
    """The models a key may hold: each with its ``kind``, and whether there may be several; none for a plain value."""
    if value.get("type") == "array":
        return [(one, kind, True) for one, kind, _ in _tables(value["items"], defs)]
    found = []
    for one in value.get("anyOf") or value.get("oneOf") or [value]:
        if "oneOf" in one:
            found += _tables(one, defs)
        elif "$ref" in one:
            model = _model(one, defs)
            found.append((model, model["properties"].get("kind", {}).get("const", ""), False))
    return found


def _model(value: Schema, defs: dict[str, Schema]) -> Schema:
    return defs[value["$ref"].rpartition("/")[2]]


def _allowed(value: Schema, defs: dict[str, Schema]) -> str:
    if "anyOf" in value:
        return " or ".join(_allowed(one, defs) for one in value["anyOf"] if one.get("type") != "null")
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    if value.get("type") == "array":
        least = f", at least {value['minItems']}" if value.get("minItems") else ""
        return f"list{least}: {_allowed(value['items'], defs)}"
    if value.get("type") == "object":
        return f"table, a variant's name each: {_allowed(value['additionalProperties'], defs)}"
    bounds = " and ".join(f"{word} {value[name]:g}" for name, word in _BOUNDS.items() if name in value)
    return ", ".join(part for part in (_TYPES[value["type"]], bounds) if part)


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    return f"`{json.dumps(value)}`" if value or value in (0, False) else "empty"
