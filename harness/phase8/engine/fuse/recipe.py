"""What each tensor of a folder is made from, for a width, a group size and a recipe; nothing is computed.

The merged model is quantised lazily by ``mlx_lm.utils.quantize_model``, and names, shapes, dtypes
and the config are read off. So both recipes follow the installed mlx-lm in which modules are
skipped, which get bits of their own, and what the config says.

``mlx-lm`` gives what ``mlx_lm.fuse --dequantize`` and ``mlx_lm.convert -q`` give. ``preserve`` differs
in one thing: where the base is quantised, a module without delta stays as the base has it, codes or
floats, at every width.
"""

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path, tree_unflatten
from mlx_lm.convert import MODEL_CONVERSION_DTYPES
from mlx_lm.utils import get_total_parameters, quantize_model

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import named_arrays
from phase8.engine.fuse.float_model import Config, Merged, Modules, merge
from phase8.engine.fuse.tensor_sources import Source, Whole
from phase8.quant.layout import Target


class Way(NamedTuple):
    """How a weight is quantised."""

    group_size: int
    bits: int
    mode: str


@dataclass(frozen=True, eq=False)
class Write:
    """One tensor of the float model, as a folder takes it: cast to ``dtype``, then quantised or left as it is."""

    name: str
    source: Source
    dtype: mx.Dtype
    way: Way | None = None


@dataclass(frozen=True, eq=False)
class Shape:
    """One tensor of a folder."""

    name: str
    shape: tuple[int, ...]
    dtype: mx.Dtype
    size: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about one folder but the values. ``shapes`` are in mlx-lm's order."""

    shapes: list[Shape]
    writes: list[Write]
    config: Config
    parameters: int
    keep_vision_config: bool


def plan(base: Path, adapter: Path, targets: Sequence[Target]) -> list[Plan]:
    """What each target's folder will hold.

    Raises:
        InvalidInput: base or adapter cannot be used, or a layer is of a kind that cannot be fused or quantised.
    """
    merged = merge(base, adapter)
    return [_plan_one(merged, target) for target in targets]


def _plan_one(merged: Merged, target: Target) -> Plan:
    """Turn the float model into the target, read off what it consists of, and turn it back."""
    model, before = merged.model, named_arrays(merged.model.parameters())
    modules = model.leaf_modules()
    try:
        return _as(merged, target)
    finally:
        model.update_modules(modules)
        model.load_weights(list(before.items()))


def _leaves(model: nn.Module) -> Modules:
    """The modules that hold parameters and no other modules, by path."""
    return {path: module for path, module in model.named_modules() if not tree_flatten(module.children())}


def _as(merged: Merged, target: Target) -> Plan:
    preserving = target.recipe == "preserve" and target.bits is not None and merged.quantised
    kept = merged.kept if preserving else {}
    model, config, sources = merged.model, copy.deepcopy(merged.config), dict(merged.sources)
    if target.recipe == "mlx-lm" and target.bits is not None:
        sources |= _load_again(merged, config)
    model.update_modules(tree_unflatten(list(kept.items())))
    _check_float(merged, kept)
    ways: dict[str, Way] = {}
    dtypes = {name: array.dtype for name, array in named_arrays(model.parameters()).items()}
    if target.bits is not None:
        config = _quantise_lazily(merged, target, config, preserving=preserving)
        ways = {p: _way(m) for p, m in _leaves(model).items() if "scales" in m and p not in kept}
    arrays = named_arrays(model.parameters())
    sources |= merged.kept_sources if preserving else {}
    return Plan(
        shapes=[Shape(name, tuple(a.shape), a.dtype, a.nbytes) for name, a in arrays.items()],
        writes=[
            Write(name, sources[name], dtype, ways.get(name.removesuffix(".weight")) if _is_weight(name) else None)
            for name, dtype in dtypes.items()
        ],
        config=config,
        parameters=get_total_parameters(model),
        keep_vision_config="vision_tower" in getattr(model, "model", {}),
    )


def _is_weight(name: str) -> bool:
    return name.endswith(".weight")


def _way(module: nn.Module) -> Way:
    return Way(module.group_size, module.bits, module.mode)


def _load_again(merged: Merged, config: Config) -> dict[str, Source]:
    """What loading the float folder does to it before quantising: sanitising, and the config's dtype.

    Returns the sources of the parameters that sanitising changed.
    """
    model, before = merged.model, named_arrays(merged.model.parameters())
    after = model.sanitize(dict(before)) if hasattr(model, "sanitize") else before
    if after.keys() != before.keys():
        raise InvalidInput(
            f"recipe mlx-lm: {config.get('model_type')} models change their tensors' names on every load "
            f"({', '.join(sorted(after.keys() ^ before.keys())[:3])}); use recipe preserve"
        )
    model.load_weights(list(after.items()))
    dtype = config.get("torch_dtype") or (config.get("text_config") or {}).get("dtype")
    if dtype in MODEL_CONVERSION_DTYPES:
        wanted = getattr(mx, dtype)
        may = getattr(model, "cast_predicate", lambda _: True)
        model.update(
            tree_map_with_path(
                lambda name, a: a.astype(wanted) if may(name) and mx.issubdtype(a.dtype, mx.floating) else a,
                model.parameters(),
            )
        )
    return {name: Whole(array) for name, array in after.items() if array is not before[name]}


def _check_float(merged: Merged, kept: Modules) -> None:
    """Refuse layers whose codes mlx-lm leaves in the float model, or dequantises without a scale that they have."""
    for path, module in _leaves(merged.model).items():
        if path in kept or "weight" not in module:
            continue
        if "scales" in module or path in merged.scaled or not mx.issubdtype(module["weight"].dtype, mx.floating):
            raise InvalidInput(f"{path}: mlx-lm cannot dequantise {type(module).__name__}. Use recipe preserve")


def _quantise_lazily(merged: Merged, target: Target, config: Config, *, preserving: bool) -> Config:
    """Quantise the model as mlx-lm does, without computing it; the new config."""
    model = merged.model
    stock = getattr(model, "quant_predicate", None) or (lambda path, module: True)
    predicate = (lambda path, module: path in merged.adapted and stock(path, module)) if preserving else None
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # mlx-lm prints the bits per weight; the report shows them
            _, config = quantize_model(model, config, target.group_size, target.bits, quant_predicate=predicate)
    except ValueError as error:
        raise InvalidInput(
            f"fuse: {target.bits} bits at group size {target.group_size} do not fit this model: {error}"
        ) from error
    quantization = config["quantization"]
    for path, module in (merged.kept if preserving else {}).items():
        way = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
        way |= {"global_scale": True} if module.get("global_scale") is not None else {}
        if way != {name: quantization[name] for name in ("group_size", "bits", "mode")}:
            quantization[path] = way
    return config
