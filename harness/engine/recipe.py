"""What each tensor of a fused folder is made from, found out with mlx-lm's own functions and nothing computed.

MLX is lazy: the base is loaded, the adapter attached, fused, dequantised and quantised as
``mlx_lm.fuse --dequantize`` and ``mlx_lm.convert -q`` do it, but only names, shapes, dtypes and
the config are read off. So both recipes follow the installed mlx-lm in which modules are
skipped, which get bits of their own, and what the config says.

``mlx-lm`` gives what those two commands give. ``preserve`` differs in one thing: where the base
is quantised, a module without delta stays as the base has it, codes or floats, at every width.
"""

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path, tree_unflatten
from mlx_lm.convert import MODEL_CONVERSION_DTYPES
from mlx_lm.tuner.dora import DoRAEmbedding
from mlx_lm.tuner.lora import LoRASwitchLinear
from mlx_lm.utils import dequantize_model, get_total_parameters, load_config, quantize_model

from harness.engine.arrays import load_arrays, named_arrays
from harness.engine.models import attach_adapter, read_model
from harness.engine.weights import Codes, Experts, Source, Whole
from harness.errors import InvalidInput
from harness.fusing import Target

Config = dict[str, Any]
Modules = dict[str, nn.Module]


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


@dataclass(frozen=True, eq=False)
class _Fused:
    """The float model of base and adapter, not computed.

    ``kept`` are the quantised modules without delta, ``adapted`` the paths of those with one, and
    ``quantised`` says whether the base has codes at all.
    """

    model: nn.Module
    config: Config
    sources: dict[str, Source]
    kept: Modules
    kept_sources: dict[str, Source]
    adapted: frozenset[str]
    quantised: bool


def plan(base: Path, adapter: Path, targets: Sequence[Target]) -> list[Plan]:
    """What each target's folder will hold.

    Raises:
        InvalidInput: base or adapter cannot be used, or a layer is of a kind that cannot be fused or quantised.
    """
    fused = _fuse_lazily(base, adapter)
    return [_plan_one(fused, target) for target in targets]


def _fuse_lazily(base: Path, adapter: Path) -> _Fused:
    model, config = read_model(base), load_config(base)
    if config.get("quantize_activations"):
        raise InvalidInput(f"{base}: quantize_activations: a base that quantises its activations is not fused")
    attach_adapter(model, adapter)
    modules = dict(model.named_modules())
    layers = {path: module for path, module in modules.items() if hasattr(module, "fuse")}
    _check_dora(adapter, layers)
    model.update_modules(tree_unflatten([(path, layer.fuse(dequantize=True)) for path, layer in layers.items()]))
    model = dequantize_model(model)
    for key in ("quantization", "quantization_config"):
        config.pop(key, None)
    adapted = frozenset(name.rpartition(".")[0] for name in load_arrays(adapter / "adapters.safetensors").arrays)
    coded = {path: module for path, module in modules.items() if "scales" in module and "weight" in module}
    shipped = {path: module for path, module in coded.items() if path.rpartition(".")[0] not in layers}
    sources = _sources(model, layers, shipped)
    kept = {path: module for path, module in shipped.items() if path not in adapted}
    kept_sources: dict[str, Source] = {
        f"{path}.{leaf}": Whole(array)
        for path, m in kept.items()
        for leaf, array in named_arrays(m.parameters()).items()
    }
    return _Fused(model, config, sources, kept, kept_sources, adapted, bool(coded))


def _check_dora(adapter: Path, layers: Modules) -> None:
    for path, layer in layers.items():
        if isinstance(layer, DoRAEmbedding) and "scales" in layer.embedding:
            raise InvalidInput(
                f"{adapter}: {path} is DoRA on a quantised embedding, which mlx-lm trains on the codes. "
                "Train without the embedding, or on a base with a float one"
            )


def _sources(model: nn.Module, layers: Modules, shipped: Modules) -> dict[str, Source]:
    """Where each parameter of the float model comes from, by name."""
    sources: dict[str, Source] = {}
    for name, array in named_arrays(model.parameters()).items():
        path, _, leaf = name.rpartition(".")
        layer = layers.get(path)
        if leaf == "weight" and isinstance(layer, LoRASwitchLinear):
            sources[name] = Experts.of(layer)
        elif leaf == "weight" and path in shipped and layer is None:
            sources[name] = Codes.of(shipped[path])
        else:
            sources[name] = Whole(array)
    return sources


def _plan_one(fused: _Fused, target: Target) -> Plan:
    """Turn the float model into the target, read off what it consists of, and turn it back."""
    model, before = fused.model, named_arrays(fused.model.parameters())
    modules = model.leaf_modules()
    try:
        return _as(fused, target)
    finally:
        model.update_modules(modules)
        model.load_weights(list(before.items()))


def _leaves(model: nn.Module) -> Modules:
    """The modules that hold parameters and no other modules, by path."""
    return {path: module for path, module in model.named_modules() if not tree_flatten(module.children())}


def _as(fused: _Fused, target: Target) -> Plan:
    preserving = target.recipe == "preserve" and target.bits is not None and fused.quantised
    kept = fused.kept if preserving else {}
    model, config, sources = fused.model, copy.deepcopy(fused.config), dict(fused.sources)
    if target.recipe == "mlx-lm" and target.bits is not None:
        sources |= _load_again(fused, config)
    model.update_modules(tree_unflatten(list(kept.items())))
    _check_float(model, kept)
    ways: dict[str, Way] = {}
    dtypes = {name: array.dtype for name, array in named_arrays(model.parameters()).items()}
    if target.bits is not None:
        config = _quantise_lazily(fused, target, config, preserving=preserving)
        ways = {p: _way(m) for p, m in _leaves(model).items() if "scales" in m and p not in kept}
    arrays = named_arrays(model.parameters())
    sources |= fused.kept_sources if preserving else {}
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


def _load_again(fused: _Fused, config: Config) -> dict[str, Source]:
    """What loading the float folder does to it before quantising: sanitising, and the config's dtype.

    Returns the sources of the parameters that sanitising changed.
    """
    model, before = fused.model, named_arrays(fused.model.parameters())
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


def _check_float(model: nn.Module, kept: Modules) -> None:
    """Refuse layers whose codes mlx-lm leaves in the float model; saved without their scales they are noise."""
    for path, module in _leaves(model).items():
        if path in kept or "weight" not in module:
            continue
        if "scales" in module or not mx.issubdtype(module["weight"].dtype, mx.floating):
            raise InvalidInput(f"{path}: mlx-lm cannot dequantise {type(module).__name__}. Use recipe preserve")


def _quantise_lazily(fused: _Fused, target: Target, config: Config, *, preserving: bool) -> Config:
    """Quantise the model as mlx-lm does, without computing it; the new config."""
    model = fused.model
    stock = getattr(model, "quant_predicate", None) or (lambda path, module: True)
    predicate = (lambda path, module: path in fused.adapted and stock(path, module)) if preserving else None
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # mlx-lm prints the bits per weight; the report shows them
            _, config = quantize_model(model, config, target.group_size, target.bits, quant_predicate=predicate)
    except ValueError as error:
        raise InvalidInput(
            f"fuse: {target.bits} bits at group size {target.group_size} do not fit this model: {error}"
        ) from error
    quantization = config["quantization"]
    for path, module in (fused.kept if preserving else {}).items():
        way = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
        way |= {"global_scale": True} if module.get("global_scale") is not None else {}
        if way != {name: quantization[name] for name in ("group_size", "bits", "mode")}:
            quantization[path] = way
    return config
