"""Fuse an adapter into its base and quantise the result, through mlx-lm's functions.

The way is mlx-lm's ``fuse --dequantize`` followed by ``convert -q``, without the
float copy on disk in between.
"""

import contextlib
import io
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_unflatten
from mlx_lm.utils import dequantize_model, load_config, quantize_model, save

from harness.engine.chat import read_tokenizer
from harness.engine.models import attach_adapter, read_model


def fuse(base: Path, adapter: Path, bits: int | None, group_size: int, out: Path) -> None:
    """Write base + adapter at ``bits`` bits per weight code, or as floats where ``bits`` is None.

    Args:
        base: an mlx-lm model folder, quantised or not.
        adapter: an adapter folder in mlx-lm's format that fits it.
        bits: 2, 3, 4, 5, 6 or 8; None keeps the float model, in the dtype mlx-lm keeps.
        group_size: weights that share a scale and a bias: 32, 64 or 128.
        out: an existing folder.

    Raises:
        InvalidInput: base or adapter cannot be used.
    """
    model = read_model(base)
    attach_adapter(model, adapter)
    config = load_config(base)
    fused = [(name, module.fuse(dequantize=True)) for name, module in model.named_modules() if hasattr(module, "fuse")]
    model.update_modules(tree_unflatten(fused))
    model = dequantize_model(model)
    for key in ("quantization", "quantization_config"):
        config.pop(key, None)
    with contextlib.redirect_stdout(io.StringIO()):  # mlx-lm prints the bits per weight; the report shows them
        if bits is not None:
            model, config = quantize_model(model, config, group_size, bits)
        mx.eval(model.parameters())
        save(out, str(base), model, read_tokenizer(base), config, donate_model=True)
