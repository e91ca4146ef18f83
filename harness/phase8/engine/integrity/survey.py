"""What names, shapes and configs say of a fused folder, and which values are left to be compared.

How each module is quantised is read from the folder itself. A module that the adapter does not touch may be
the base's own codes or those codes quantised anew; one that it touches is Q(W + delta) alone.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.utils import _get_classes, load_config

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import named_arrays
from phase8.engine.fuse.float_model import Merged
from phase8.engine.fuse.recipe import Way
from phase8.engine.fuse.tensor_sources import Source, Whole
from phase8.engine.integrity.deltas import is_experts
from phase8.engine.integrity.folder import FaultError, FusedFolder
from phase8.engine.load.models import read_model
from phase8.record.integrity import Module, ModuleIntegrity

_LAYER = re.compile(r"(?:^|\.)(\d+)\.(.+)$")


class Claim(NamedTuple):
    """One tensor of a folder (codes with scales, or floats), and what it is made from."""

    folder: int
    path: str
    name: str
    source: Source
    found: tuple[Whole, ...]
    way: Way | None


@dataclass(frozen=True, eq=False)
class Survey:
    """What names, shapes and configs say of one folder: modules judged by that, and claims of the others."""

    judged: dict[str, ModuleIntegrity]
    claims: list[Claim]
    more: frozenset[str]

    def taken(self) -> list[Claim]:
        """The claims, which the survey then has no more: they hold what is read of the files."""
        claims = self.claims[:]
        self.claims.clear()
        return claims


def survey(merged: Merged, fused: FusedFolder, number: int, rank: int, only: set[str] | None) -> Survey:
    """One folder: judged modules at rank 0, and for each other module the claim of that rank."""
    modules, names = dict(merged.model.named_modules()), _by_module(merged.sources)
    there, kept = _by_module(fused.arrays), _by_module(merged.kept_sources)
    changed = _sanitised(merged)
    judged: dict[str, ModuleIntegrity] = {}
    claims: list[Claim] = []
    more: set[str] = set()
    for path in [*names, *(path for path in there if path not in names)]:
        if only is not None and path not in only:
            continue
        found, wanted = there.get(path, {}), names.get(path, {})
        module = modules.get(path, merged.model)
        known = describe(path, module, touched=path in merged.adapted)
        try:
            if not wanted:
                raise FaultError("unexpected", f"unexpected: the fused model has no {', '.join(found)}")
            way = _checked(path, module, wanted, found, kept.get(path, {}), fused)
        except FaultError as fault:
            judged[path] = known.model_copy(update={"outcome": fault.outcome, "reason": str(fault)})
            continue
        width = {"bits": way.bits, "group_size": way.group_size} if way else {}
        if rank == 0:
            judged[path] = known.model_copy(update=width)
        choices = _choices(number, path, way, found, (wanted, kept.get(path, {}), changed))
        claims.extend(choices[rank])
        more |= {path} if len(choices) > rank + 1 else set()
    return Survey(judged, claims, frozenset(more))


def _by_module(named: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Tensors by the path of their module, in the order of the model."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in named.items():
        found.setdefault(name.rpartition(".")[0], {})[name] = value
    return found


def _checked(
    path: str,
    module: nn.Module,
    wanted: dict[str, Source],
    found: dict[str, mx.array],
    kept: dict[str, Source],
    fused: FusedFolder,
) -> Way | None:
    """How the module is quantised.

    Raises:
        FaultError: tensors are missing, unexpected or of another shape, or the config says another width.
        InvalidInput: the module has a scale for the whole tensor and is not the base's.
    """
    way = fused.way(path, module)
    names = set(wanted)
    if way:
        names |= {f"{path}.scales"} | ({f"{path}.biases"} if way.mode == "affine" else set())
        if f"{path}.global_scale" in found:
            if found.keys() != kept.keys():
                raise InvalidInput(
                    f"{fused.folder}: {path}: codes with a scale for the whole tensor are not recomputed"
                )
            names |= {f"{path}.global_scale"}
    if missing := sorted(names - found.keys()):
        raise FaultError("missing", f"missing from the folder: {', '.join(missing)}")
    if extra := sorted(found.keys() - names):
        raise FaultError("unexpected", f"unexpected: the fused model has no {', '.join(extra)}")
    for name, source in wanted.items():
        if (way is None or name != f"{path}.weight") and tuple(found[name].shape) != source.shape:
            raise FaultError("shape", f"wrong shape: {name} is {tuple(found[name].shape)}, not {source.shape}")
    if way is None and f"{path}.weight" in found and not mx.issubdtype(found[f"{path}.weight"].dtype, mx.floating):
        raise FaultError("missing", f"missing from the folder: {path}.scales; its codes alone are no weights")
    if cut := _without_fractions(module, way, found):
        raise FaultError("shape", f"wrong dtype: {cut[0]} is {found[cut[0]].dtype}, which holds no fractions")
    if "weight" in module and (said := fused.contradiction(path, way)):
        raise FaultError("width", f"other width than the config says: {said}")
    return way


def _without_fractions(module: nn.Module, way: Way | None, found: dict[str, mx.array]) -> list[str]:
    """Floats of a module that a folder holds as integers; in modes other than affine scales are codes too."""
    codes = ("weight", "scales") if way and way.mode != "affine" else ("weight",) if way else ()
    leaves = {name: name.rpartition(".")[2] for name in found}
    own = {leaf for leaf in leaves.values() if leaf in module and not mx.issubdtype(module[leaf].dtype, mx.floating)}
    floats = [name for name, leaf in leaves.items() if leaf not in codes and leaf not in own]
    return sorted(name for name in floats if not mx.issubdtype(found[name].dtype, mx.floating))


def _choices(
    number: int,
    path: str,
    way: Way | None,
    found: dict[str, mx.array],
    sources: tuple[dict[str, Source], dict[str, Source], dict[str, Source]],
) -> list[list[Claim]]:
    """What a module may be, first to last: the base's own tensors, those of the float model, those it loads to."""
    wanted, kept, changed = sources
    choices: list[list[Claim]] = []
    if way and found.keys() == kept.keys() and all(_alike(array, kept[n]) for n, array in found.items()):
        choices.append([Claim(number, path, n, kept[n], (Whole(a),), None) for n, a in found.items()])
    if f"{path}.global_scale" in found:
        return choices
    for table in (wanted, changed):
        if not any(name in table for name in wanted):
            continue
        claims = []
        for name, source in wanted.items():
            coded = way is not None and name == f"{path}.weight"
            leaves = ("weight", "scales", "biases") if coded else (name.rpartition(".")[2],)
            tensors = tuple(Whole(found[n]) for leaf in leaves if (n := f"{path}.{leaf}".removeprefix(".")) in found)
            claims.append(Claim(number, path, name, table.get(name, source), tensors, way if coded else None))
        choices.append(claims)
    return choices


def _alike(array: mx.array, source: Source) -> bool:
    """Whether a tensor could be the base's own."""
    return isinstance(source, Whole) and (array.shape, array.dtype) == (source.array.shape, source.array.dtype)


def _sanitised(merged: Merged) -> dict[str, Source]:
    """Tensors of the float model that loading changes once more, as ``mlx_lm.convert`` does; usually none."""
    before = named_arrays(merged.model.parameters())
    if not hasattr(merged.model, "sanitize"):
        return {}
    after = merged.model.sanitize(dict(before))
    return {n: Whole(a) for n, a in after.items() if n in before and a is not before[n]}


def describe(path: str, module: nn.Module, *, touched: bool) -> ModuleIntegrity:
    """A module before anything is found out about it."""
    weights = module["weight"].size if "weight" in module else 0
    return ModuleIntegrity(**place(path, module).model_dump(), touched=touched, outcome="equal", weights=weights)


def place(path: str, module: nn.Module) -> Module:
    """Where a module of the float model stands."""
    inside = _LAYER.search(path)
    return Module(
        path=path,
        layer=int(inside[1]) if inside else None,
        name=inside[2] if inside else path,
        experts=module["weight"].shape[0] if is_experts(module) else None,
    )


def settings(base: Path, folder: Path) -> tuple[str, ...]:
    """Fields of the model's configuration, as mlx-lm reads it, that the folder changes."""
    own, found = load_config(base), load_config(folder)
    if own.get("model_type") != found.get("model_type"):
        return (f"model_type {found.get('model_type')!r}, base {own.get('model_type')!r}",)
    _, kind = _get_classes(own)
    try:
        ours, theirs = vars(kind.from_dict(own)), vars(kind.from_dict(found))
    except (KeyError, TypeError, ValueError) as error:
        return (f"config.json is none of a {own['model_type']} model: {error!r}",)
    if own.get("model_file") != found.get("model_file"):  # code in place of the class that was compared with
        return (f"model_file {found.get('model_file')!r}, base {own.get('model_file')!r}",)
    if found.get("quantize_activations"):
        return ("quantize_activations: what goes into every layer is rounded too",)
    return tuple(
        f"{name} {theirs.get(name)!r}, base {value!r}"
        for name, value in ours.items()
        if theirs.get(name) != value and "quant" not in name and "dtype" not in name
    )


def refusal(folder: Path) -> tuple[str, ...]:
    """Why mlx-lm would not load a folder whose tensors are right, if it would not: its config is another model's."""
    try:
        read_model(folder)
    except InvalidInput as error:
        return (str(error),)
    return ()
