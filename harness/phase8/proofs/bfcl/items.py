"""The function-calling items inside the wheel ``bfcl-eval``: found, read, and their schemas made JSON Schema.

Two categories of the Berkeley Function Calling Leaderboard (Patil et al., ICML 2025): in ``simple_python`` the one
function that an item offers answers its question, in ``irrelevance`` it cannot. Only the wheel's JSON is read; none of
its code is imported.
"""

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from phase8.cases.benchmark import CATEGORIES, Category
from phase8.core.errors import InvalidInput
from phase8.core.file_hashes import file_sha256
from phase8.core.values import Frozen

DISTRIBUTION = "bfcl-eval"
_DATA = Path("bfcl_eval") / "data"
_QUESTIONS = "BFCL_v4_{}.json"
_ANSWERS = "possible_answer/BFCL_v4_simple_python.json"
# BFCL's names of types against JSON Schema's; a value of any type has none.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}
_KNOWN = ("string", "integer", "number", "boolean", "array", "object")


class Accepted(Frozen):
    """The right call: the function, and for each argument every value that is right; ``""`` is also leaving it out."""

    name: str
    arguments: dict[str, list[Any]]


class Item(Frozen):
    """One question with the functions that may be called; ``accepted`` is None where none may."""

    id: str
    category: Category
    messages: tuple[dict[str, str], ...]
    tools: tuple[dict[str, Any], ...]
    accepted: Accepted | None


class Benchmark(Frozen):
    """The chosen items in the order of the files, the SHA-256 of each file by name, the wheel's version if known."""

    version: str | None
    files: dict[str, str]
    items: tuple[Item, ...]


class _Message(Frozen):
    role: Literal["system", "user"]
    content: str


class _Function(Frozen, extra="ignore"):
    name: str
    description: str = ""
    parameters: dict[str, Any]


class _Question(Frozen, extra="ignore"):
    id: str
    question: Annotated[tuple[tuple[_Message, ...], ...], Field(min_length=1, max_length=1)]
    function: Annotated[tuple[_Function, ...], Field(min_length=1)]


_Call = Annotated[dict[str, dict[str, list[Any]]], Field(min_length=1, max_length=1)]


class _Answer(Frozen, extra="ignore"):
    id: str
    ground_truth: Annotated[tuple[_Call, ...], Field(min_length=1, max_length=1)]


_Line = TypeVar("_Line", _Question, _Answer)


def read_benchmark(folder: Path, count: int) -> Benchmark:
    """At most ``count`` items of each category, always the same, from a folder that the wheel is installed into.

    They are drawn by the SHA-256 of their ids, since the files are ordered by topic; fewer are a part of more.

    Raises:
        InvalidInput: no such data, a count below 1, a line that is no item, or an item without its answer.
    """
    if count < 1:
        raise InvalidInput(f"--items is {count}; at least 1 item of each category is needed")
    data = folder / _DATA
    names = [*(_QUESTIONS.format(category) for category in CATEGORIES), _ANSWERS]
    if missing := [name for name in names if not (data / name).is_file()]:
        raise InvalidInput(
            f"{data}: no {', no '.join(missing)}. Run `nox -s bfcl`, which installs them, or get them with "
            f"`python -m pip install --no-deps -c constraints.txt --target FOLDER {DISTRIBUTION}` "
            "and give that folder with --data"
        )
    answers = {answer.id: answer.ground_truth[0] for answer in _lines(data / _ANSWERS, _Answer)}
    items: list[Item] = []
    for category in CATEGORIES:
        path = data / _QUESTIONS.format(category)
        items += [_item(found, category, answers, path) for found in _drawn(_lines(path, _Question), count)]
    return Benchmark(
        version=_version(folder), files={name: file_sha256(data / name) for name in names}, items=tuple(items)
    )


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of BFCL's as JSON Schema: its own names of types replaced, at every depth.

    Raises:
        InvalidInput: a type that is neither BFCL's nor JSON Schema's.
    """
    converted = {key: value for key, value in schema.items() if key not in ("type", "optional")}
    if (found := schema.get("type")) is not None:
        if found not in (*_TYPES, *_KNOWN):
            raise InvalidInput(f"type {found!r} is not one of {', '.join((*_TYPES, *_KNOWN))}")
        if kind := _TYPES.get(found, found):
            converted = {"type": kind} | converted
    if "properties" in schema:
        converted["properties"] = {name: json_schema(part) for name, part in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            converted[key] = json_schema(schema[key])
    return converted


def _item(question: _Question, category: Category, answers: dict[str, Any], path: Path) -> Item:
    try:
        tools = tuple(_tool(function) for function in question.function)
    except (InvalidInput, AttributeError, TypeError) as error:
        raise InvalidInput(f"{path}: {question.id}: its function is no schema: {error}") from error
    accepted = None
    if category == "simple_python":
        if question.id not in answers:
            raise InvalidInput(f"{path}: {question.id}: no answer in {_ANSWERS}; the two files must be of one version")
        name, arguments = next(iter(answers[question.id].items()))
        accepted = Accepted(name=name, arguments=arguments)
        if name not in (offered := [function.name for function in question.function]):
            raise InvalidInput(f"{path}: {question.id}: the answer calls {name!r}; offered: {', '.join(offered)}")
    messages = tuple(message.model_dump() for message in question.question[0])
    return Item(id=question.id, category=category, messages=messages, tools=tools, accepted=accepted)


def _tool(function: _Function) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}} | json_schema(function.parameters)
    described = {"name": function.name, "description": function.description, "parameters": parameters}
    return {"type": "function", "function": described}


def _drawn(questions: Sequence[_Question], count: int) -> list[_Question]:
    drawn = sorted(questions, key=lambda question: hashlib.sha256(question.id.encode()).hexdigest())[:count]
    return [question for question in questions if question in drawn]


def _lines(path: Path, model: type[_Line]) -> list[_Line]:
    found: list[_Line] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                found.append(model.model_validate_json(line))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(map(str, first["loc"])) or "line"
                raise InvalidInput(f"{path}:{number}: not a BFCL item: {where}: {first['msg']}") from error
    if not found or len({line.id for line in found}) < len(found):
        raise InvalidInput(f"{path}: {'no items' if not found else 'an id is used twice'}")
    return found


def _version(folder: Path) -> str | None:
    found = next(iter(metadata.distributions(name=DISTRIBUTION, path=[str(folder)])), None)
    return found.version if found else None
