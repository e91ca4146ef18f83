"""A profile's faults in words: file, key, what was found, what is allowed."""

import difflib
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from phase8.core.values import Frozen


def explain(root: type[Frozen], path: Path, error: ValidationError) -> str:
    """A pydantic error as lines that name file, key, what was found and what is allowed."""
    lines = []
    for problem in error.errors(include_url=False):
        where = [str(part) for part in problem["loc"]]  # in [base] and [corpus] with the kind in second place
        tagged = where[0:1] in (["base"], ["corpus"]) and len(where) > 2
        key = ".".join(where[:1] + where[2:] if tagged else where) or "profile"
        if problem["type"] == "extra_forbidden":
            allowed = _allowed_keys(root, where[:-1])
            guess = difflib.get_close_matches(where[-1], allowed, n=1, cutoff=0.5)
            guess = guess or [known for known in allowed if known.startswith(where[-1])]
            hint = f" Did you mean {guess[0]!r}?" if guess else ""
            lines.append(f"{path}: {key}: unknown key.{hint} Allowed: {', '.join(allowed)}")
        elif problem["type"] == "missing":
            lines.append(f"{path}: {key}: missing; it has no default")
        else:
            found = "" if problem["loc"] == () else f" Found: {problem['input']!r}."
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{path}: {key}: {message}.{found}")
    return "\n".join(lines)


def _allowed_keys(root: type[Frozen], where: list[str]) -> list[str]:
    """The keys of the model that a path of keys leads to."""
    model: Any = root
    for part in where:
        if part.isdigit():
            continue
        models = _models_in(model.model_fields[part].annotation) if part in model.model_fields else []
        tagged = [m for m in _models_in(model) if part in _kinds(m)]
        if not models and not tagged:
            continue
        model = (models or tagged)[0] if len(models) < 2 else _Union(models)
    return sorted(model.model_fields)


class _Union:
    """Several models behind one key, told apart by ``kind``."""

    def __init__(self, models: list[Any]) -> None:
        self.models = models
        self.model_fields = {name: field for model in models for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, _Union):
        return annotation.models
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _kinds(model: Any) -> tuple[str, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()
