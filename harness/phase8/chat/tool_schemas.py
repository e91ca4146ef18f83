"""Tool schemas, OpenAI style: whether they are any, and whether a call's arguments fit them."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Tool = dict[str, Any]
Tools = list[Tool]


def parameters(tool: Tool) -> dict[str, Any]:
    """The JSON schema of a tool's arguments; a tool that has none takes any object."""
    return tool["function"].get("parameters") or {"type": "object"}


def tools_fault(tools: Any) -> str | None:
    """Why a JSON value is no list of function schemas; None where it is one.

    Schemas are JSON Schema draft 2020-12. Nothing is fetched: a reference must lead to the schema itself.
    """
    try:
        return _tools_fault(json.dumps(tools))
    except RecursionError:
        return "tools are nested too deeply"


def arguments_fault(name: str, arguments: dict[str, Any], tools: Tools) -> str | None:
    """How a call's arguments break the schema of its tool, which must be one of ``tools``; None where they fit."""
    import jsonschema  # a tenth of a second that collecting the suites need not spend

    try:
        error = jsonschema.exceptions.best_match(_validator(name, tools).iter_errors(arguments))
    except RecursionError:
        return "nested too deeply"
    return error.message if error else None


def fits(value: Any, name: str, argument: str, tools: Tools) -> bool:
    """Whether a value may stand for one argument of a tool; anything may where its schema does not name it."""
    whole = _validator(name, tools)
    schema = parameters(_tool(name, tools)).get("properties", {}).get(argument, True)
    return whole.evolve(schema=schema).is_valid(value)


def _tool(name: str, tools: Tools) -> Tool:
    return next(tool for tool in tools if tool["function"]["name"] == name)


def _validator(name: str, tools: Tools) -> "Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(parameters(_tool(name, tools)), registry=Registry())  # an empty one never goes online


@lru_cache(maxsize=256)  # most files give every row the same tools
def _tools_fault(text: str) -> str | None:
    tools = json.loads(text)
    if not isinstance(tools, list):
        return f"tools is {text[:60]}; expected a list of function schemas"
    names = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            return f'tools[{index}]: expected {{"type": "function", "function": {{"name": ..., "parameters": ...}}}}'
        if fault := _schema_fault(function.get("parameters")):
            return f"tools[{index}].function.parameters (of {function['name']}): {fault}"
        names.append(function["name"])
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"tools: {', '.join(twice)} is there twice" if twice else None


def _schema_fault(schema: Any) -> str | None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    if schema is None:
        return None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return 'expected a JSON schema of an object: {"type": "object", "properties": {...}}'
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    if error := best_match(meta.iter_errors(schema)):
        return f"no JSON schema: {error.json_path}: {error.message[:200]}"
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            return f"it refers to {reference!r}, which is not in it"
    return None


def _references(schema: Any) -> Iterator[str]:
    rest = [schema]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            yield from (found for key in ("$ref", "$dynamicRef") if isinstance(found := value.get(key), str))
            rest += value.values()
        elif isinstance(value, list):
            rest += value
