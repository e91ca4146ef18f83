"""Folders made with other arithmetics are equal up to rounding, and what is lost in them is named all the same.

The arithmetics are simulated: NumPy sums the product in another order, rounds the factors as tensor cores do, and
quantises as a GPU does. So these tests need no other BLAS and hold on every machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phase8.core.lazy_imports import np
from phase8.quant.layout import target
from phase8.record.integrity import ModuleIntegrity
from suites.unit.tiny import MOE, UNTIED, adapter_folder, model_folder, tokenizer_folder

QUERY = "model.layers.1.self_attn.q_proj"
DTYPES = ["float32", "float16", "bfloat16"]
WIDTHS = [None, 4, 8]
Product = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for every model here."""
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=DTYPES)
def made(request: pytest.FixtureRequest, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A 4-bit llama in one dtype, an adapter of rank 16 on its last layer, and what they are fused to at each width."""
    from phase8.engine.fuse.fuse import fuse

    work = tmp_path_factory.mktemp(request.param)
    base = model_folder(work / "base", tokenizer, UNTIED, dtype=request.param, group_size=64, bits=4)
    adapter = adapter_folder(work / "adapter", base, rank=16)
    folders = {bits: work / f"{bits}" for bits in WIDTHS}
    for folder in folders.values():
        folder.mkdir()
    fuse(base, adapter, [(target(bits, 64, "mlx-lm"), folder) for bits, folder in folders.items()])
    return base, adapter, folders


def judged(base: Path, adapter: Path, folder: Path, path: str = QUERY) -> ModuleIntegrity:
    """One module of a folder; all the others must be equal."""
    from phase8.engine.integrity.check import integrity

    (found,) = integrity(base, adapter, [folder])
    assert [one.path for one in found.faults if one.path != path] == []
    return next(one for one in found.modules if one.path == path)


def touched(base: Path, adapter: Path) -> Any:
    """The module's weight and what the adapter adds."""
    from phase8.engine.integrity.deltas import read_deltas

    return read_deltas(base, adapter)[f"{QUERY}.weight"]


def backwards(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A product in float32, its terms added up from the last to the first."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for term in reversed(range(left.shape[1])):
        total = total + left[:, term : term + 1] * right[term]
    return total


def pairwise(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The same with halves added up first."""
    if left.shape[1] == 1:
        return left * right
    half = left.shape[1] // 2
    return pairwise(left[:, :half], right[:half]) + pairwise(left[:, half:], right[half:])


def cut(array: np.ndarray) -> np.ndarray:
    """Float32 numbers cut to TensorFloat-32."""
    return (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def cut_factors(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product of a tensor core that cuts its float32 factors to TensorFloat-32."""
    return backwards(cut(left), cut(right))


def fused(made: Any, product: Product, dtype: Any = None, factors: Any = None) -> Any:
    """W + delta of the module with a product of one's own, W and sum in ``dtype``, the factors in ``factors``."""
    import mlx.core as mx

    own, _, low_rank, _ = touched(*made[:2])
    weight = own.block(0, own.shape[0])
    if dtype is not None and dtype != weight.dtype:
        scales, biases = (array.astype(dtype) for array in (own.scales, own.biases))
        weight = mx.dequantize(own.codes, scales, biases, group_size=own.group_size, bits=own.bits)
    kind = factors or mx.float32
    left, right = low_rank.scale * low_rank.tall.astype(kind), low_rank.wide.astype(kind)
    sums = product(*(np.array(factor.astype(mx.float32)) for factor in (left, right)))
    return weight + mx.array(sums).astype(kind).astype(weight.dtype)


def written(folder: Path, out: Path, weight: Any, bits: int | None, *, gpu: bool = False) -> Path:
    """The folder with the module's weight made from other floats, as MLX quantises them on a CPU or a GPU."""
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays

    tensors = dict(load_arrays(folder / "model.safetensors").arrays)
    mx.eval(tensors)
    stored = tensors[f"{QUERY}.{'scales' if bits else 'weight'}"].dtype
    weight = weight.astype(stored)
    if bits is None:
        tensors[f"{QUERY}.weight"] = weight
    else:
        made = (quantised_as_gpu if gpu else mx.quantize)(weight, 64, bits)
        named = dict(zip(("weight", "scales", "biases"), made, strict=True))
        tensors |= {f"{QUERY}.{leaf}": array for leaf, array in named.items()}
    shutil.copytree(folder, out)
    mx.save_safetensors(str(out / "model.safetensors"), tensors, {"format": "mlx"})
    return out


def quantised_as_gpu(weight: Any, group_size: int, bits: int) -> tuple[Any, Any, Any]:
    """MLX's Metal kernel in NumPy: ties away from zero."""
    import mlx.core as mx

    def away(x: np.ndarray) -> np.ndarray:
        return np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))

    groups = np.array(weight.astype(mx.float32)).reshape(weight.shape[0], -1, group_size)
    top, bottom = np.maximum(groups.max(-1), 0), groups.min(-1)
    step = np.maximum((top - bottom) / np.float32(2**bits - 1), np.float32(1e-7))
    below = np.abs(bottom) > np.abs(top)
    edge, step = np.where(below, bottom, top), np.where(below, step, -step)
    scale = edge / away(edge / step)
    codes = np.clip(away((groups - edge[..., None]) / scale[..., None]), 0, 2**bits - 1).astype(np.uint32)
    codes = codes.reshape(weight.shape[0], -1, 32 // bits) << (np.arange(32 // bits, dtype=np.uint32) * bits)
    packed = codes.sum(-1).astype(np.uint32)
    return mx.array(packed), mx.array(scale).astype(weight.dtype), mx.array(edge).astype(weight.dtype)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("product", [backwards, pairwise])
def test_sums_in_another_order_are_rounding(product: Product, bits: int | None, made: Any, tmp_path: Path) -> None:
    """Of codes, scales, biases and floats; in float32, where every scale shows it, the arithmetic is named."""
    base, adapter, folders = made
    other = written(folders[bits], tmp_path / "other", fused(made, product), bits)
    found = judged(base, adapter, other)
    assert found.outcome in ("rounding", "equal"), found
    if base.parent.name.startswith("float32"):
        assert found.outcome == "rounding"
        assert found.arithmetic == "float32 weights as here, sums in another order"
        assert found.worst_steps is not None
        assert found.worst_steps < (1.01 if bits else 64)
        assert found.scales_differing == 0 if bits is None else 0 < (found.worst_ulps or 0) < 64


@pytest.mark.parametrize("bits", [4, 8])
def test_the_ties_of_a_gpu_are_rounding(bits: int, made: Any, tmp_path: Path) -> None:
    """It rounds them away from zero, a CPU to even."""
    base, adapter, folders = made
    other = written(folders[bits], tmp_path / "other", fused(made, backwards), bits, gpu=True)
    assert judged(base, adapter, other).outcome in ("rounding", "equal")


@pytest.mark.parametrize("bits", WIDTHS)
def test_factors_that_a_tensor_core_cuts_are_rounding(bits: int | None, made: Any, tmp_path: Path) -> None:
    """They take up to a part in five hundred of the delta, and always of its size."""
    base, adapter, folders = made
    found = judged(base, adapter, written(folders[bits], tmp_path / "other", fused(made, cut_factors), bits))
    assert found.outcome == "rounding", found
    assert "TensorFloat-32" in found.arithmetic


@pytest.mark.parametrize("bits", WIDTHS)
def test_another_dtype_of_the_arithmetic_is_rounding_where_the_folder_is_stored_in_it(
    bits: int | None, made: Any, tmp_path: Path
) -> None:
    """Weights in float32 and cast once, or the product in the dtype of a half precision base."""
    import mlx.core as mx

    base, adapter, folders = made
    dtype = touched(base, adapter).own.scales.dtype
    if dtype == mx.float32:
        halves = (fused(made, backwards, mx.bfloat16, mx.bfloat16), fused(made, backwards, mx.float16))
        for number, weight in enumerate(halves):
            other = written(folders[bits], tmp_path / f"{number}", weight, bits)
            assert judged(base, adapter, other).outcome == "differs"  # a folder of float32 is not made of halves
        return
    name = f"{dtype}".rpartition(".")[2]
    for number, (weight, said) in enumerate(
        [
            (fused(made, backwards, mx.float32), "float32 weights"),
            (fused(made, backwards, dtype, dtype), f"{name} weights, products in {name}"),
        ]
    ):
        found = judged(base, adapter, written(folders[bits], tmp_path / f"{number}", weight, bits))
        assert found.outcome == "rounding", found
        assert found.arithmetic.startswith(said)


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_product_within_the_bound_is_rounding_and_one_outside_is_not(
    bits: int | None, made: Any, tmp_path: Path
) -> None:
    """Nine tenths of gamma at every weight, either way; then a thousand times as much, if the stored dtype shows it."""
    from phase8.engine.integrity.arithmetic import gamma

    base, adapter, folders = made
    rng = np.random.default_rng(0)

    def off(times: float) -> Product:
        def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            bound = gamma(left.shape[1], 2.0**-24) * (np.abs(left) @ np.abs(right))
            exact = left.astype(float) @ right.astype(float)
            return (exact + times * bound * rng.choice([-1, 1], bound.shape)).astype(np.float32)

        return product

    within = written(folders[bits], tmp_path / "within", fused(made, off(0.9)), bits)
    assert judged(base, adapter, within).outcome in ("rounding", "equal")
    outside = written(folders[bits], tmp_path / "outside", fused(made, off(1000.0)), bits)
    found = judged(base, adapter, outside)
    assert found.outcome == "differs"
    assert "no BLAS, device or dtype rounds to" in found.reason


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", [UNTIED, MOE], ids=["llama", "qwen3_moe"])
def test_every_planted_loss_is_named_in_every_dtype(
    config: dict[str, Any], dtype: str, tokenizer: Path, tmp_path: Path
) -> None:
    """Missing in a module or an expert, halved, doubled, exchanged, one code flipped, one scale off; and no other."""
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.integrity.check import integrity
    from phase8.engine.losses import damage, plant_losses
    from phase8.proofs.rounding import Judged, Model, Setting

    base = model_folder(tmp_path / "base", tokenizer, config, dtype=dtype, group_size=32, bits=4)
    keys = ["self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"]
    keys += ["mlp.switch_mlp.gate_proj"]
    adapter = adapter_folder(tmp_path / "adapter", base, *keys)
    losses = plant_losses(adapter, tmp_path / "lost")
    model = Model("small", base, adapter, tmp_path / "lost", losses, dtype)
    for bits in WIDTHS:
        folders = [tmp_path / f"{name}-{bits}" for name in ("sound", "lost")]
        for folder, one in zip(folders, (adapter, tmp_path / "lost"), strict=True):
            folder.mkdir()
            fuse(base, one, [(target(bits, 32, "mlx-lm"), folder)])
        damage(folders[1], losses)
        sound, lost = integrity(base, adapter, folders)
        assert sound.outcome == "equal"
        found = Judged(model, Setting("here", None), bits, sound, lost)
        assert found.unnamed == []
        assert {one.path for one in lost.faults} == {loss.module for loss in losses}


@pytest.mark.parametrize("made", ["float32"], indirect=True)
def test_the_command_says_equal_up_to_rounding_with_the_largest_step(
    made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exits 0: a folder fused on another machine must not be red."""
    from phase8.cli.main import main

    base, adapter, folders = made
    other = written(folders[4], tmp_path / "other", fused(made, backwards), 4)
    given = ["integrity", str(other), "--base", str(base), "--adapter", str(adapter)]
    assert main(given) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("EQUAL UP TO ROUNDING: ")
    assert "1 rounding (" in line
    assert " steps; " in line
    assert " ulps; float32 weights as here, sums in another order)" in line
    (other / "config.json").write_text(
        (other / "config.json").read_text().replace('"rope_theta": 10000.0', '"rope_theta": 5.0')
    )
    assert main(given) == 1
