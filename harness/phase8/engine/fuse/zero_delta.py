"""An adapter that changes nothing: fused like the real one, it gives the zero-delta control.

The control is the dequantised base through the same recipe, width and group size. What a
fused model loses against its float model and the control loses too is requantisation noise;
what is left is loss of the adapter.
"""

import shutil
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import load_arrays, named_arrays
from phase8.engine.fuse.float_model import check_dora
from phase8.engine.load.models import attach_adapter, read_model

_FACTORS = ("lora_a", "lora_b")


def zero_adapter(base: Path, adapter: Path, out: Path) -> None:
    """Write an adapter with the names, shapes and config of another one, whose delta on ``base`` is zero.

    Both low-rank factors are zero; a DoRA magnitude is the norm of the base's own row, computed as fusing
    computes it; a whole tensor (full fine-tuning) is the base's own. Fused, it gives the base's dequantised
    values bit for bit, but for a minus before a zero: ``-0.0 + 0.0`` is ``0.0``.

    Args:
        base: an mlx-lm model folder.
        adapter: an adapter folder in mlx-lm's format that fits it.
        out: the folder to write; made if it does not exist.

    Raises:
        InvalidInput: base or adapter cannot be used, or DoRA has no magnitude that leaves a row as it is.
    """
    model = read_model(base)
    own = named_arrays(model.parameters())
    attach_adapter(model, adapter)
    layers = {path: module for path, module in model.named_modules() if hasattr(module, "fuse")}
    check_dora(adapter, layers)
    stored = load_arrays(adapter / "adapters.safetensors")
    tensors: dict[str, mx.array] = {}
    for name, array in stored.arrays.items():
        path, _, leaf = name.rpartition(".")
        if path not in layers:
            tensors[name] = _as_stored(own[name], array.dtype)
        elif leaf in _FACTORS:
            tensors[name] = mx.zeros_like(array)
        else:
            tensors[name] = _magnitude(path, layers[path], array.dtype)
    out.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(out / "adapters.safetensors"), tensors, stored.metadata)
    shutil.copy(adapter / "adapter_config.json", out)


def _as_stored(own: mx.array, dtype: mx.Dtype) -> mx.array:
    """The base's tensor in the adapter's dtype, which decides how fusing rounds; its own where that loses bits."""
    cast = own.astype(dtype)
    return cast if mx.array_equal(cast.astype(own.dtype), own, equal_nan=True).item() else own


def _magnitude(path: str, layer: nn.Module, dtype: mx.Dtype) -> mx.array:
    """The magnitudes (O,) that mlx-lm's ``fuse`` divides by the rows' norms to one.

    Raises:
        InvalidInput: a row is zero or its norm no number, or ``dtype`` cannot hold a norm.
    """
    if isinstance(layer, DoRALinear):
        weight = layer._dequantized_weight()  # mlx-lm has no public way to the weight it fuses
    elif isinstance(layer, DoRAEmbedding):
        weight = layer.embedding.weight
    else:
        raise InvalidInput(f"{path}: {type(layer).__name__} has a tensor that is neither lora_a, lora_b nor whole")
    norms = mx.linalg.norm(weight, axis=1)
    magnitude = norms.astype(dtype)
    unlike = mx.sum(magnitude / norms != 1).item()
    if unlike:
        raise InvalidInput(
            f"{path}: DoRA divides {unlike} of {norms.size} rows by a norm that is zero, not finite, or finer than "
            f"the adapter's {dtype}: no magnitude leaves them as they are, so there is no zero-delta control"
        )
    return magnitude
