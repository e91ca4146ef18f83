"""The zero-delta control: an adapter like the real one, whose delta is nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from phase8.core.errors import InvalidInput
from phase8.quant.layout import target
from suites.unit.tiny import MOE, TIED, UNTIED, adapter_folder, model_folder, tokenizer_folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for every model here."""
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


def fused_float(base: Path, adapter: Path, out: Path) -> dict[str, Any]:
    """The tensors of the fused float model."""
    from phase8.engine.arrays import load_arrays
    from phase8.engine.fuse.fuse import fuse

    out.mkdir()
    fuse(base, adapter, [(target(None, 64, "preserve"), out)])
    return load_arrays(out / "model.safetensors").arrays


def dequantised(base: Path) -> dict[str, Any]:
    """The tensors of the base in the dtype of its scales, dequantised by mlx-lm itself."""
    from mlx_lm.utils import dequantize_model

    from phase8.engine.arrays import named_arrays
    from phase8.engine.load.models import read_model

    return named_arrays(dequantize_model(read_model(base)).parameters())


@pytest.mark.parametrize(
    ("config", "quantisation", "keys", "kind"),
    [
        (MOE, {"group_size": 32, "bits": 4}, (), "lora"),
        (TIED, {"group_size": 64, "bits": 8}, ("model.embed_tokens",), "lora"),
        (UNTIED, {}, ("lm_head",), "lora"),
        (UNTIED, {"group_size": 64, "bits": 4}, (), "dora"),
        (TIED, {}, ("model.embed_tokens",), "dora"),
    ],
    ids=["moe", "quantised embedding", "float base", "DoRA", "DoRA on an embedding"],
)
def test_fused_it_is_the_dequantised_base(
    config: dict[str, Any],
    quantisation: dict[str, Any],
    keys: tuple[str, ...],
    kind: str,
    tokenizer: Path,
    tmp_path: Path,
) -> None:
    """Every value; DoRA's magnitudes are float32, and so are the weights that fusing makes of them."""
    import mlx.core as mx

    from phase8.engine.fuse.zero_delta import zero_adapter

    base = model_folder(tmp_path / "base", tokenizer, config, **quantisation)
    adapter = adapter_folder(tmp_path / "adapter", base, *keys, kind=kind)
    zero_adapter(base, adapter, tmp_path / "zero")
    control = fused_float(base, tmp_path / "zero", tmp_path / "control")
    tuned = fused_float(base, adapter, tmp_path / "tuned")
    own = dequantised(base)
    assert control.keys() == own.keys() == tuned.keys()
    for name, array in own.items():
        assert mx.array_equal(control[name].astype(array.dtype).view(mx.uint8), array.view(mx.uint8)).item(), name
        assert control[name].dtype == tuned[name].dtype
    assert any(not mx.array_equal(control[name], tuned[name]).item() for name in own)


def test_it_has_the_names_shapes_and_config_of_the_adapter(tokenizer: Path, tmp_path: Path) -> None:
    """So it goes the same way through recipes, which look at what an adapter touches."""
    from phase8.engine.arrays import load_arrays
    from phase8.engine.fuse.zero_delta import zero_adapter

    base = model_folder(tmp_path / "base", tokenizer, MOE, group_size=32, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base)
    zero_adapter(base, adapter, tmp_path / "zero")
    wanted, found = (load_arrays(folder / "adapters.safetensors").arrays for folder in (adapter, tmp_path / "zero"))
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {n: (a.shape, a.dtype) for n, a in wanted.items()}
    name = "adapter_config.json"
    assert json.loads((tmp_path / "zero" / name).read_text()) == json.loads((adapter / name).read_text())


def test_of_full_fine_tuning_it_keeps_the_tensors_of_the_base(tokenizer: Path, tmp_path: Path) -> None:
    """Such an adapter holds whole tensors, here in another dtype than the base's."""
    import mlx.core as mx

    from phase8.engine.fuse.zero_delta import zero_adapter

    base = model_folder(tmp_path / "base", tokenizer, TIED)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    tuned = {"model.layers.1.mlp.up_proj.weight": mx.ones((192, 128)), "model.norm.weight": mx.zeros((128,))}
    mx.save_safetensors(str(adapter / "adapters.safetensors"), tuned)
    (adapter / "adapter_config.json").write_text('{"fine_tune_type": "full", "num_layers": 1}')
    zero_adapter(base, adapter, tmp_path / "zero")
    control = fused_float(base, tmp_path / "zero", tmp_path / "control")
    for name, array in dequantised(base).items():
        assert mx.array_equal(control[name], array).item(), name


def test_dora_on_a_row_of_zeros_has_no_control(tokenizer: Path, tmp_path: Path) -> None:
    """Fusing divides by the row's norm."""
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays
    from phase8.engine.fuse.zero_delta import zero_adapter

    base = model_folder(tmp_path / "base", tokenizer, UNTIED)
    weights = load_arrays(base / "model.safetensors").arrays
    name = "model.layers.1.self_attn.q_proj.weight"
    weights[name] = mx.concatenate([mx.zeros((1, 128), weights[name].dtype), weights[name][1:]])
    mx.eval(weights)
    mx.save_safetensors(str(base / "model.safetensors"), weights, {"format": "mlx"})
    adapter = adapter_folder(tmp_path / "adapter", base, kind="dora")
    with pytest.raises(InvalidInput, match="layers.1.self_attn.q_proj: DoRA divides 1 of 128 rows"):
        zero_adapter(base, adapter, tmp_path / "zero")
