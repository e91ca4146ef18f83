"""Loading models: as shipped for timing and memory, on dequantised weights for fast judging."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map, tree_unflatten
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import compute_bits_per_weight, dequantize_model, load_model

from phase8.core.errors import InvalidInput
from phase8.core.machine import has_fast_quantised_kernels
from phase8.engine.arrays import load_arrays, named_arrays
from phase8.engine.load.tokenizer import read_tokenizer

_ADAPTER_LEAVES = {"lora_a", "lora_b", "m"}


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that is no complete mlx-lm model.

    Raises:
        InvalidInput: the folder, its config, weights, or a shard that its index names is missing; config or index
            is not what it should be.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such model folder")
    if not (folder / "config.json").is_file():
        raise InvalidInput(f"{folder}: no config.json; this is not a model folder")
    _read_object(folder / "config.json")
    if not list(folder.glob("model*.safetensors")):
        raise InvalidInput(f"{folder}: no model*.safetensors; the weights are missing")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = _read_object(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
            raise InvalidInput(f"{index}: no weight_map from tensors to files. Copy the model's complete files")
        shards = set(places.values())
        if missing := sorted(name for name in shards if not (folder / name).is_file()):
            raise InvalidInput(f"{folder}: shards are missing: {', '.join(missing)}")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: not JSON: {error}. Copy the model's complete files") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: expected an object, found {type(value).__name__}")
    return value


def read_model(folder: Path) -> nn.Module:
    """The model of a folder, its weights not yet in memory, never with remote code.

    Raises:
        InvalidInput: an unusable folder.
    """
    check_model_folder(folder)
    try:
        model, _ = load_model(folder, lazy=True, trust_remote_code=False)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise InvalidInput(f"{folder}: mlx-lm cannot load it: {error}") from error
    return model


def load_shipped(folder: Path, adapter: Path | None = None) -> tuple[nn.Module, TokenizerWrapper]:
    """A model exactly as its folder holds it, with the live adapter if one is given.

    Raises:
        InvalidInput: an unusable folder, or an adapter whose tensors do not fit.
    """
    model, tokenizer = read_model(folder), read_tokenizer(folder)
    if adapter is not None:
        attach_adapter(model, adapter)
    model.eval()
    mx.eval(model.parameters())
    return model, tokenizer


def load_fast(folder: Path, adapter: Path | None = None) -> tuple[nn.Module, TokenizerWrapper]:
    """The same values on the fastest weights this device has.

    On a CPU the codes are dequantised in float32, as the quantised kernels do it
    block by block; elsewhere the model is used as shipped.
    """
    model, tokenizer = read_model(folder), read_tokenizer(folder)
    if not has_fast_quantised_kernels():
        dequantise(model)
    if adapter is not None:
        attach_adapter(model, adapter)
    model.eval()
    mx.eval(model.parameters())
    return model, tokenizer


def dequantise(model: nn.Module) -> nn.Module:
    """Replace every quantised layer by a float32 one with the same values, in place.

    Quantised products are computed in the dtype of their input. A quantised embedding, though,
    computes its rows in the dtype of its scales, and those rounded rows are what the model reads:
    on SmolLM2 they move logits by up to 0.02. Such rows are looked up as shipped.
    """
    embeddings = {n: m for n, m in model.named_modules() if isinstance(m, nn.QuantizedEmbedding)}
    shipped = {n: _lookup(m) for n, m in embeddings.items() if m.scales.dtype != mx.float32}
    model.update(
        tree_map(lambda x: x.astype(mx.float32) if mx.issubdtype(x.dtype, mx.floating) else x, model.parameters())
    )
    model = dequantize_model(model)
    replaced = [(n, _ShippedRows(m.weight, shipped[n])) for n, m in model.named_modules() if n in shipped]
    model.update_modules(tree_unflatten(replaced))
    return model


def _lookup(embedding: nn.QuantizedEmbedding) -> Callable[[mx.array], mx.array]:
    """The rows of a quantised embedding as it computes them now, whatever becomes of the module."""
    codes, scales, biases = embedding.weight, embedding.scales, embedding.get("biases")
    group_size, bits, mode = embedding.group_size, embedding.bits, embedding.mode

    def rows(tokens: mx.array) -> mx.array:
        chosen = None if biases is None else biases[tokens]
        return mx.dequantize(codes[tokens], scales[tokens], chosen, group_size=group_size, bits=bits, mode=mode)

    return rows


class _ShippedRows(nn.Embedding):
    """Float32 weights in products, the shipped embedding's own rows in look-ups."""

    def __init__(self, weight: mx.array, rows: Callable[[mx.array], mx.array]) -> None:
        super().__init__(1, 1)
        self.weight = weight
        self._rows = rows

    def __call__(self, x: mx.array) -> mx.array:
        """The rows (..., D) of token ids (...), in the dtype of the weight."""
        return self._rows(x).astype(self.weight.dtype)


def attach_adapter(model: nn.Module, adapter: Path) -> None:
    """Put the live LoRA layers of an adapter folder on a model.

    Raises:
        InvalidInput: files are missing, or shapes or names do not fit this base.
    """
    for name in ("adapter_config.json", "adapters.safetensors"):
        if not (adapter / name).is_file():
            raise InvalidInput(f"{adapter}: no {name}; this is not an adapter folder in mlx-lm's format")
    settings = _read_object(adapter / "adapter_config.json")
    full = settings.get("fine_tune_type") == "full"  # then there are no layers to name
    if absent := [] if full else [key for key in ("num_layers", "lora_parameters") if key not in settings]:
        raise InvalidInput(f"{adapter}: adapter_config.json has no {' and no '.join(absent)}, as mlx-lm writes them")
    try:
        load_adapters(model, str(adapter))
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise InvalidInput(f"{adapter}: the adapter does not fit the base: {error}") from error
    loaded = set(load_arrays(adapter / "adapters.safetensors").arrays)
    wanted = {name for name in named_arrays(model.parameters()) if name.rsplit(".", 1)[-1] in _ADAPTER_LEAVES}
    if not loaded:
        raise InvalidInput(f"{adapter}: adapters.safetensors holds no tensor; there is no adapter in it")
    if absent := sorted(wanted - loaded):
        raise InvalidInput(
            f"{adapter}: {len(absent)} of {len(wanted)} adapter tensors are missing, first {absent[0]}. "
            "They would stay random; use the adapter's complete files"
        )


def bits_per_weight(model: nn.Module) -> float:
    """The bytes of all parameters over their number, in bits, scales and biases included."""
    return float(compute_bits_per_weight(model))
