"""What quantising left of the delta: figures for a heatmap, checked against plain formulas."""

from pathlib import Path
from typing import Any

import pytest

from phase8.quant.layout import Target, target
from phase8.record.integrity import FolderDelta, ModuleDelta
from suites.unit.tiny import MOE, UNTIED, adapter_folder, model_folder, tokenizer_folder

QUERY, EXPERTS = "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.switch_mlp.up_proj"


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A 4-bit qwen3_moe and an adapter on its last layer."""
    tokenizer = tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))
    base = model_folder(tmp_path_factory.mktemp("moe"), tokenizer, MOE, group_size=32, bits=4)
    return base, adapter_folder(tmp_path_factory.mktemp("adapter"), base)


def measured(base: Path, adapter: Path, fused_from: Path, out: Path, *targets: Target) -> list[FolderDelta]:
    """The figures of folders fused from an adapter, against another or the same."""
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.integrity.delta_stats import delta_stats

    folders = [out / f"{number}" for number in range(len(targets))]
    for folder in folders:
        folder.mkdir(parents=True)
    fuse(base, fused_from, list(zip(targets, folders, strict=True)))
    return delta_stats(base, adapter, folders)


def of(found: FolderDelta, path: str) -> ModuleDelta:
    """The figures of one module."""
    return next(module for module in found.modules if module.path == path)


def test_figures_are_those_of_the_plain_formulas(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Whole matrices, by MLX's own functions and NumPy in float64."""
    import mlx.core as mx
    import numpy as np

    from phase8.engine.arrays import load_arrays

    base, adapter = moe
    (found,) = measured(base, adapter, adapter, tmp_path, target(5, 32, "preserve"))
    module = of(found, QUERY)
    codes, given = (load_arrays(folder / "model.safetensors").arrays for folder in (base, tmp_path / "0"))
    factors = load_arrays(adapter / "adapters.safetensors").arrays

    def parts(tensors: Any) -> list[Any]:
        return [tensors[f"{QUERY}.{leaf}"] for leaf in ("weight", "scales", "biases")]

    def values(way: Any, bits: int) -> Any:
        wide = [way[0], *(array.astype(mx.float32) for array in way[1:])]
        return np.array(mx.dequantize(*wide, group_size=32, bits=bits), dtype=np.float64)

    own = mx.dequantize(*parts(codes), group_size=32, bits=4)
    control = mx.quantize(own, 32, 5)
    delta = 2.0 * np.array(factors[f"{QUERY}.lora_a"] @ factors[f"{QUERY}.lora_b"], dtype=np.float64).T
    change = values(parts(given), 5) - values(control, 5)
    rms = np.sqrt(np.mean(delta**2))
    assert (module.bits, module.group_size, module.weights) == (5, 32, delta.size)
    assert module.delta_rms == pytest.approx(rms, rel=1e-4)
    step = np.mean(np.abs(np.array(parts(given)[1].astype(mx.float32), dtype=np.float64)))
    assert module.step_over_delta == pytest.approx(step / rms, rel=1e-4)
    assert module.correlation == pytest.approx(np.corrcoef(change.ravel(), delta.ravel())[0, 1], rel=1e-4)
    assert module.energy == pytest.approx(np.sum(change**2) / np.sum(delta**2), rel=1e-4)
    assert module.delta_share == pytest.approx(np.sum(change * delta) / np.sum(delta**2), rel=1e-4)
    one, zero = mx.ones(control[1].shape), mx.zeros(control[1].shape)
    numbers = [np.array(mx.dequantize(way[0], one, zero, group_size=32, bits=5)) for way in (parts(given), control)]
    assert module.codes_changed == pytest.approx(np.mean(numbers[0] != numbers[1]))


def test_more_bits_leave_more_of_the_delta(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """In floats nearly all; every touched module is there, an expert stack as one, a router at its own width."""
    targets = [target(bits, 32, "preserve") for bits in (3, 4, 6, None)]
    found = measured(*moe, moe[1], tmp_path, *targets)
    assert all([m.path for m in one.modules] == [m.path for m in found[0].modules] for one in found)
    assert {m.name for m in found[0].modules} > {"self_attn.q_proj", "mlp.switch_mlp.up_proj", "mlp.gate"}
    for path in (QUERY, EXPERTS):
        modules = [of(one, path) for one in found]
        assert sorted(m.correlation or 0 for m in modules) == [m.correlation for m in modules]
        assert modules[-1].correlation == pytest.approx(1, abs=1e-3)
        assert modules[-1].energy == pytest.approx(1, abs=1e-2)
        steps = [m.step_over_delta or 0 for m in modules[:-1]]
        assert steps == sorted(steps, reverse=True)
        assert steps[-1] > 0
        assert modules[-1].step_over_delta is None
    assert (of(found[0], EXPERTS).experts, of(found[0], EXPERTS).layer) == (4, 1)


def test_without_the_adapter_nothing_changed(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """A control against the real delta."""
    from phase8.engine.fuse.zero_delta import zero_adapter

    zero_adapter(*moe, tmp_path / "zero")
    (found,) = measured(*moe, tmp_path / "zero", tmp_path, target(5, 64, "mlx-lm"))
    assert {(m.codes_changed, m.correlation, m.energy, m.delta_share) for m in found.modules} == {(0, None, 0, 0)}


def test_the_delta_of_dora_is_what_it_makes_of_the_rows(tmp_path: Path) -> None:
    """Its float folder is W + delta."""
    tokenizer = tokenizer_folder(tmp_path)
    base = model_folder(tmp_path / "base", tokenizer, UNTIED, dtype="float32", group_size=64, bits=8)
    adapter = adapter_folder(tmp_path / "adapter", base, kind="dora")
    (found,) = measured(base, adapter, adapter, tmp_path / "out", target(None, 64, "preserve"))
    for module in found.modules:
        assert module.delta_share == pytest.approx(1, abs=1e-5)
        assert module.correlation == pytest.approx(1, abs=1e-5)
    assert of(found, QUERY).delta_rms > 0
