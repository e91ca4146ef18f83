"""Base and adapter merged into the float model of ``mlx_lm.fuse --dequantize``, and nothing computed.

MLX is lazy: the base is loaded, the adapter attached, fused and dequantised by mlx-lm's own
functions, but only names, shapes and dtypes are read off. Where the values come from is kept
apart, as sources that give them block by block.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.nn as nn
from mlx.utils import tree_unflatten
from mlx_lm.tuner.dora import DoRAEmbedding
from mlx_lm.tuner.lora import LoRASwitchLinear
from mlx_lm.utils import dequantize_model, load_config

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import load_arrays, named_arrays
from phase8.engine.fuse.tensor_sources import Codes, Experts, Source, Whole
from phase8.engine.load.models import attach_adapter, read_model

Config = dict[str, Any]
Modules = dict[str, nn.Module]


@dataclass(frozen=True, eq=False)
class Merged:
    """The float model of base and adapter, not computed.

    ``kept`` are the quantised modules without delta, ``adapted`` the paths of those with one, ``scaled`` of
    those whose codes have a scale for the whole tensor; ``quantised`` says whether the base has codes at all.
    """

    model: nn.Module
    config: Config
    sources: dict[str, Source]
    kept: Modules
    kept_sources: dict[str, Source]
    adapted: frozenset[str]
    scaled: frozenset[str]
    quantised: bool


def merge(base: Path, adapter: Path) -> Merged:
    """The float model of a base folder and an adapter folder.

    Raises:
        InvalidInput: base or adapter cannot be used, or a layer is of a kind that cannot be fused.
    """
    model, config = read_model(base), load_config(base)
    if config.get("quantize_activations"):
        raise InvalidInput(f"{base}: quantize_activations: a base that quantises its activations is not fused")
    attach_adapter(model, adapter)
    modules = dict(model.named_modules())
    layers = {path: module for path, module in modules.items() if hasattr(module, "fuse")}
    check_dora(adapter, layers)
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
    scaled = frozenset(
        path if path in shipped else path.rpartition(".")[0]
        for path, module in coded.items()
        if module.get("global_scale") is not None
    )
    return Merged(model, config, sources, kept, kept_sources, adapted, scaled, bool(coded))


def check_dora(adapter: Path, layers: Modules) -> None:
    """Refuse DoRA on a quantised embedding.

    Raises:
        InvalidInput: one of the adapted ``layers``, by path, is of that kind.
    """
    for path, layer in layers.items():
        if isinstance(layer, DoRAEmbedding) and "scales" in layer.embedding:
            raise InvalidInput(
                f"{adapter}: {path} is DoRA on a quantised embedding, which mlx-lm trains on the codes. "
                "Train without the embedding, or on a base with a float one"
            )


def _sources(model: nn.Module, layers: Modules, shipped: Modules) -> dict[str, Source]:
    """Where each parameter of the float model comes from, by name."""
    sources: dict[str, Source] = {}
    arrays = named_arrays(model.parameters())
    for name, array in arrays.items():
        path, _, leaf = name.rpartition(".")
        layer = layers.get(path)
        if leaf == "weight" and isinstance(layer, LoRASwitchLinear):
            sources[name] = Experts.of(layer)
        elif leaf == "weight" and path in shipped and f"{path}.scales" not in arrays:
            sources[name] = Codes.of(shipped[path])
        else:
            sources[name] = Whole(array)
    return sources
