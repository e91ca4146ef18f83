"""Fused folders: the tensors of stock mlx-lm, in one pass, and never half of one."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from phase8.core.artefact import MANIFEST, Step
from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.core.store import PARTIAL, Store
from phase8.quant.layout import Target, target
from suites.unit.tiny import KEYS, MOE, TIED, UNTIED, adapter_folder, model_folder, tokenizer_folder

BITS, GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)


def kept(bits: int | None, group_size: int = 64) -> Target:
    """A target of the recipe that keeps what the adapter does not touch."""
    return target(bits, group_size, "preserve")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for every model here."""
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def moe(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A 4-bit qwen3_moe and an adapter on its last layer: attention, router and experts."""
    base = model_folder(tmp_path_factory.mktemp("moe"), tokenizer, MOE, group_size=32, bits=4)
    return base, adapter_folder(tmp_path_factory.mktemp("adapter"), base)


def fused(base: Path, adapter: Path, targets: Sequence[Target], out: Path) -> list[Path]:
    """Our folders, one a target, written in one pass."""
    from phase8.engine.fuse.fuse import fuse

    folders = [out / f"{number}" for number in range(len(targets))]
    for folder in folders:
        folder.mkdir(parents=True)
    fuse(base, adapter, list(zip(targets, folders, strict=True)))
    return folders


def stock_float(base: Path, adapter: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of ``mlx_lm.fuse --dequantize``."""
    import importlib

    arguments = ["fuse", "--model", base, "--adapter-path", adapter, "--save-path", out, "--dequantize"]
    monkeypatch.setattr("sys.argv", [str(argument) for argument in arguments])
    importlib.import_module("mlx_lm.fuse").main()
    return out


def stock_quantised(folder: Path, wanted: Target, out: Path) -> Path:
    """The folder of ``mlx_lm.convert -q``."""
    from mlx_lm import convert

    convert(str(folder), str(out), quantize=True, q_bits=wanted.bits, q_group_size=wanted.group_size)
    return out


def tensors(folder: Path) -> dict[str, Any]:
    """The arrays of all weight files that the index names."""
    from phase8.engine.arrays import load_arrays

    names = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].values()
    return {name: a for file in sorted(set(names)) for name, a in load_arrays(folder / file).arrays.items()}


def read(folder: Path, name: str) -> Any:
    """A JSON file of a folder."""
    return json.loads((folder / name).read_text())


def assert_same(ours: Path, stock: Path) -> None:
    """Every tensor bit by bit, config, index, and the files beside them."""
    from phase8.engine.integrity.same_folders import same_folders

    found = same_folders(ours, stock)
    assert found.tensors > 10
    assert found.differences == ()


@pytest.mark.parametrize(
    ("config", "keys"),
    [(MOE, ()), (TIED, ("model.embed_tokens",)), (UNTIED, ("lm_head",))],
    ids=["moe", "tied, adapted embedding", "untied, adapted head"],
)
def test_recipe_mlx_lm_gives_the_tensors_of_stock(
    config: dict[str, Any], keys: tuple[str, ...], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every width at every group size and the floats, in one pass, skipped modules and configs too."""
    base = model_folder(tmp_path / "base", tokenizer, config, group_size=32, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base, *keys)
    targets = [target(None, 64, "mlx-lm"), *(target(bits, group, "mlx-lm") for bits in BITS for group in GROUPS)]
    ours = fused(base, adapter, targets, tmp_path / "ours")
    floats = stock_float(base, adapter, tmp_path / "float", monkeypatch)
    assert_same(ours[0], floats)
    for wanted, folder in zip(targets[1:], ours[1:], strict=True):
        assert_same(folder, stock_quantised(floats, wanted, tmp_path / f"stock-{wanted.bits}-{wanted.group_size}"))


def test_recipe_mlx_lm_gives_the_tensors_of_stock_on_the_synthetic_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fusing is measured on, with small layers: every width at every group size, base in groups of 64."""
    from phase8.engine.synthetic import make_synthetic
    from phase8.quant import synthetic

    for name, value in {"HIDDEN": 128, "EXPERTS": 4, "EXPERT_SIZE": 128, "VOCABULARY": 320, "HEAD_SIZE": 8}.items():
        monkeypatch.setattr(synthetic, name, value)
    make_synthetic(2, tmp_path)
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    targets = [target(None, 64, "mlx-lm"), *(target(bits, group, "mlx-lm") for bits in BITS for group in GROUPS)]
    ours = fused(base, adapter, targets, tmp_path / "ours")
    floats = stock_float(base, adapter, tmp_path / "float", monkeypatch)
    assert_same(ours[0], floats)
    for wanted, folder in zip(targets[1:], ours[1:], strict=True):
        assert_same(folder, stock_quantised(floats, wanted, tmp_path / f"stock-{wanted.bits}-{wanted.group_size}"))


@pytest.mark.parametrize(
    ("config", "quantisation"),
    [
        (MOE, {"group_size": 32, "bits": 4, "mode": "mxfp4"}),
        (MOE, {"group_size": 32, "bits": 6}),
        (MOE, {}),
        (UNTIED | {"torch_dtype": "float16"}, {"group_size": 64, "bits": 8}),
    ],
    ids=["mxfp4", "6 bits", "float", "another dtype in the config"],
)
def test_a_base_in_any_mode_gives_the_tensors_of_stock(
    config: dict[str, Any],
    quantisation: dict[str, Any],
    tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dequantised by its own mode; the config's dtype is applied between the two stock commands."""
    base = model_folder(tmp_path / "base", tokenizer, config, **quantisation)
    adapter = adapter_folder(tmp_path / "adapter", base)
    wanted = target(5, 32, "mlx-lm")
    ours = fused(base, adapter, [target(None, 64, "mlx-lm"), wanted], tmp_path / "ours")
    floats = stock_float(base, adapter, tmp_path / "float", monkeypatch)
    assert_same(ours[0], floats)
    assert_same(ours[1], stock_quantised(floats, wanted, tmp_path / "stock"))


def test_dora_gives_the_tensors_of_stock(tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its magnitudes are in float32, and so are the fused weights that stock makes of them."""
    base = model_folder(tmp_path / "base", tokenizer, UNTIED, group_size=64, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base, kind="dora")
    wanted = target(4, 64, "mlx-lm")
    (ours,) = fused(base, adapter, [wanted], tmp_path / "ours")
    floats = stock_float(base, adapter, tmp_path / "float", monkeypatch)
    assert_same(ours, stock_quantised(floats, wanted, tmp_path / "stock"))


def test_full_fine_tuning_gives_the_tensors_of_stock(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an adapter folder holds whole weights in place of deltas."""
    import mlx.core as mx

    base = model_folder(tmp_path / "base", tokenizer, TIED)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    name = "model.layers.1.mlp.up_proj.weight"
    mx.save_safetensors(str(adapter / "adapters.safetensors"), {name: mx.random.normal((192, 128))})
    (adapter / "adapter_config.json").write_text('{"fine_tune_type": "full", "num_layers": 1}')
    (ours,) = fused(base, adapter, [kept(4, 64)], tmp_path / "ours")
    floats = stock_float(base, adapter, tmp_path / "float", monkeypatch)
    assert_same(ours, stock_quantised(floats, kept(4, 64), tmp_path / "stock"))


def test_dora_on_a_quantised_embedding_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    """mlx-lm takes the norms of its codes there."""
    base = model_folder(tmp_path / "base", tokenizer, TIED, group_size=64, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base, "model.embed_tokens", kind="dora")
    with pytest.raises(InvalidInput, match="model.embed_tokens is DoRA on a quantised embedding"):
        fused(base, adapter, [kept(4)], tmp_path / "ours")


def test_sizes_of_recipes_are_those_of_the_folders(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """To the byte, though nothing is written to know them."""
    from phase8.engine.fuse.sizes import recipe_sizes

    found = recipe_sizes(*moe, (8, 3), 64)
    targets = [target(bits, 64, recipe) for bits in (8, 3) for recipe in ("preserve", "mlx-lm")]
    written = [(folder / "model.safetensors").stat().st_size for folder in fused(*moe, targets, tmp_path)]
    assert [size for one in found for size in (one.preserve_bytes, one.mlx_lm_bytes)] == written


def test_a_folder_of_another_width_is_not_the_one_that_was_asked_for(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Integrity alone would find every code of it right: an 8-bit folder must not make 5 bits look safe."""
    from phase8.engine.fuse.requested_target import not_as_asked

    asked, other = target(5, 64, "preserve"), [target(8, 64, "preserve"), target(5, 32, "preserve")]
    folders = fused(*moe, [asked, *other, target(5, 64, "mlx-lm")], tmp_path)
    right, *wrong = not_as_asked(*moe, [(asked, folder) for folder in folders])
    assert right == ()
    assert [len(said) for said in wrong] == [1, 1, 1]
    assert "tensors are not those of 5 bits in groups of 64, recipe preserve, first model.layers.1." in wrong[0][0]


def test_the_comparison_with_stock_names_what_is_not_the_same(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """A value, a dtype, a tensor, a setting, a file; and nothing in two folders that are the same."""
    import mlx.core as mx

    from phase8.engine.integrity.same_folders import same_folders

    ours, stock = fused(*moe, [target(4, 32, "mlx-lm")] * 2, tmp_path)
    whole = same_folders(ours, stock)
    assert (whole.differences, whole.quantised) == ((), sum(name.endswith(".scales") for name in tensors(ours)))
    changed = tensors(stock)
    changed["model.norm.weight"] = changed["model.norm.weight"] * 2
    changed["model.layers.0.input_layernorm.weight"] = changed["model.layers.0.input_layernorm.weight"].astype(
        mx.float32
    )
    del changed["model.layers.1.input_layernorm.weight"]
    mx.save_safetensors(str(stock / "model.safetensors"), changed)
    (stock / "config.json").write_text(json.dumps(read(stock, "config.json") | {"rope_theta": 5.0}))
    (stock / "extra.txt").touch()
    assert same_folders(ours, stock).differences == (
        "model.layers.0.input_layernorm.weight: mlx.core.bfloat16 (128,), stock mlx.core.float32 (128,)",
        "model.layers.1.input_layernorm.weight: only ours has it",
        "model.norm.weight: other values",
        "config.json: other contents",
        "extra.txt: a file of one side alone",
    )


def test_fusing_is_proved_against_the_commands_of_a_user(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Stock in processes of its own with our BLAS: the floats and one width, a line each."""
    from phase8.proofs.fuse import _compared

    targets = [target(None, 64, "mlx-lm"), target(5, 64, "mlx-lm")]
    found = list(_compared(*moe, targets, tmp_path))
    assert [one for one, _ in found] == targets
    assert [same.differences for _, same in found] == [(), ()]
    assert found[1][1].tensors > found[0][1].tensors > 10
    assert [path.name for path in (tmp_path / "ours").iterdir()] == []


@pytest.mark.parametrize(("differences", "code"), [((), 0), (("model.norm.weight: other values",), 1)])
def test_a_difference_to_stock_is_named_and_fails_the_proof(
    differences: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the width that it is in."""
    from types import SimpleNamespace

    from phase8.engine.integrity.same_folders import Sameness
    from phase8.proofs import fuse as prove_fuse

    flow: Any = SimpleNamespace(
        base=0, adapter=0, path=lambda _: tmp_path, store=Store(tmp_path), profile=SimpleNamespace(name="mine")
    )
    same = Sameness(tensors=3, quantised=1, differences=differences)
    monkeypatch.setattr(prove_fuse, "_compared", lambda *given: ((wanted, same) for wanted in given[2]))
    out = io.StringIO()
    assert prove_fuse.prove_fuse(flow, Console(file=out, width=200)) == code
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + len(BITS) * len(GROUPS) + 1
    said = "equal, config and index too" if not code else "DIFFERS: model.norm.weight: other values"
    assert lines[1] == f"2 bits in groups of  32:    3 tensors,   1 modules quantised: {said}"
    assert lines[-1].endswith("every one is equal" if not code else "19 of 19 DIFFER")


def test_small_blocks_give_the_same_bytes(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """One row or one expert at a time; where blocks end changes nothing."""
    from phase8.engine.fuse.one_pass import write_folders
    from phase8.engine.fuse.recipe import plan

    targets = [target(5, 32, "mlx-lm"), kept(4), kept(None)]
    whole = fused(*moe, targets, tmp_path / "whole")
    pieces = [tmp_path / f"{number}" for number in range(3)]
    for folder in pieces:
        folder.mkdir()
    write_folders(plan(*moe, targets), pieces, block=100)
    for one, other in zip(whole, pieces, strict=True):
        name = "model.safetensors"
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_module_without_delta_keeps_the_codes_of_the_base(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """At every width; a module with delta is encoded anew as recipe mlx-lm does it, and norms stay."""
    import mlx.core as mx

    shipped = tensors(moe[0])
    for bits, ours, stock in zip(
        (3, 8),
        fused(*moe, [kept(3, 64), kept(8, 64)], tmp_path / "ours"),
        fused(*moe, [target(3, 64, "mlx-lm"), target(8, 64, "mlx-lm")], tmp_path / "stock"),
        strict=True,
    ):
        mine, theirs = tensors(ours), tensors(stock)
        adapted = {name for name in mine if name.rsplit(".", 1)[0] in {f"model.layers.1.{key}" for key in KEYS}}
        assert len({name.rsplit(".", 1)[0] for name in adapted}) == 5
        for name, array in mine.items():
            expected = theirs[name] if name in adapted else shipped[name]
            assert mx.array_equal(array.view(mx.uint8), expected.view(mx.uint8)).item(), name
        assert mine.keys() - adapted == {
            n for n in shipped if n.rsplit(".", 1)[0] not in {a.rsplit(".", 1)[0] for a in adapted}
        }
        quantization = read(ours, "config.json")["quantization"]
        assert (quantization["bits"], quantization["group_size"]) == (bits, 64)
        assert quantization["model.embed_tokens"] == {"group_size": 32, "bits": 4, "mode": "affine"}
        assert "model.layers.1.self_attn.q_proj" not in quantization


def test_a_float_module_without_delta_stays_float_in_a_quantised_base(tokenizer: Path, tmp_path: Path) -> None:
    """Its makers left it so; recipe mlx-lm quantises it."""
    base = model_folder(tmp_path / "base", tokenizer, MOE, group_size=64, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base)
    ours, stock = fused(base, adapter, [kept(4, 32), target(4, 32, "mlx-lm")], tmp_path / "ours")
    down = "model.layers.0.mlp.switch_mlp.down_proj.scales"  # 96 inputs: no multiple of the base's group size
    assert down not in tensors(ours)
    assert down in tensors(stock)


def test_preserving_a_float_base_is_recipe_mlx_lm(tokenizer: Path, tmp_path: Path) -> None:
    """There are no codes to keep."""
    base = model_folder(tmp_path / "base", tokenizer, TIED)
    adapter = adapter_folder(tmp_path / "adapter", base)
    assert_same(*fused(base, adapter, [kept(4), target(4, 64, "mlx-lm")], tmp_path / "ours"))


@pytest.mark.parametrize("recipe", ["mlx-lm", "preserve"])
@pytest.mark.parametrize(
    ("config", "keys", "groups"),
    [(MOE, (), (64,)), (TIED, ("model.embed_tokens",), (32, 128)), (UNTIED, ("lm_head",), (64,))],
    ids=["moe", "tied, adapted embedding", "untied, adapted head"],
)
def test_every_folder_loads_in_mlx_lm_and_answers(
    config: dict[str, Any], keys: tuple[str, ...], groups: tuple[int, ...], recipe: str, tokenizer: Path, tmp_path: Path
) -> None:
    """Per-module bits and groups are read from the config; in float32, the one dtype of MLX's experts on a CPU."""
    from mlx_lm import generate, load

    base = model_folder(tmp_path / "base", tokenizer, config, dtype="float32", group_size=32, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base, *keys)
    targets = [target(bits, group, recipe) for group in groups for bits in (*BITS, None)]
    for folder in fused(base, adapter, targets, tmp_path / "ours"):
        model, loaded = load(str(folder))[:2]
        assert len(generate(model, loaded, prompt="find it", max_tokens=3)) > 0


def test_a_base_that_quantises_activations_is_refused(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """mlx-lm leaves its layers as codes when it dequantises."""
    base = shutil.copytree(moe[0], tmp_path / "base")
    config = read(base, "config.json") | {"quantize_activations": True}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="quantize_activations|cannot load"):
        fused(base, moe[1], [kept(4)], tmp_path / "ours")


@pytest.mark.parametrize("recipe", ["mlx-lm", "preserve"])
def test_an_expert_stack_with_a_tensor_scale_is_only_preserved(recipe: str, tokenizer: Path, tmp_path: Path) -> None:
    """mlx-lm dequantises nvfp4 stacks without their tensor scale; kept codes take it along."""
    from mlx_lm import load

    nvfp4: dict[str, Any] = {"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": True}
    base = model_folder(tmp_path / "base", tokenizer, MOE, **nvfp4)
    adapter = adapter_folder(tmp_path / "adapter", base, keys=["self_attn.q_proj"])
    if recipe == "mlx-lm":
        with pytest.raises(InvalidInput, match="switch_mlp.* cannot dequantise SwitchLinear. Use recipe preserve"):
            fused(base, adapter, [target(4, 64, recipe)], tmp_path / "ours")
        return
    (ours,) = fused(base, adapter, [target(4, 64, recipe)], tmp_path / "ours")
    scale = "model.layers.1.mlp.switch_mlp.up_proj.global_scale"
    assert tensors(ours)[scale].tolist() == tensors(base)[scale].tolist()
    load(str(ours))


def test_a_group_size_that_the_router_cannot_have_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    """mlx-lm gives qwen3_moe routers groups of 64, whatever is asked for; here they have 96 inputs."""
    config = MOE | {"hidden_size": 96, "head_dim": 32}
    base = model_folder(tmp_path / "base", tokenizer, config)
    adapter = adapter_folder(tmp_path / "adapter", base)
    with pytest.raises(InvalidInput, match="4 bits at group size 32 do not fit this model"):
        fused(base, adapter, [kept(4, 32)], tmp_path / "ours")


INTERRUPTED = (target(2, 64, "preserve"), target(3, 32, "mlx-lm"), target(None, 64, "mlx-lm"))


def steps() -> list[Step]:
    """Two narrow widths, one of each recipe, and the floats as artefacts."""
    return [Step("fused", 1, wanted.model_dump(), lambda _: None) for wanted in INTERRUPTED]


def building(moe: tuple[Path, Path]) -> Callable[[Sequence[tuple[Step, Path]]], None]:
    """What makes all missing widths at once."""
    from phase8.engine.fuse.fuse import fuse

    return lambda outs: fuse(*moe, [(Target(**step.inputs), out) for step, out in outs])


@pytest.fixture(scope="module")
def undisturbed(moe: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """The files of all folders after a run that nobody killed."""
    return [contents(folder) for folder in fused(*moe, INTERRUPTED, tmp_path_factory.mktemp("whole"))]


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a fused folder; the store's manifest holds the time."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != MANIFEST}


def killing_at(byte: int, end: Callable[[], None]) -> Callable[[int, memoryview, int], None]:
    """What writes weights until so many bytes have come, the last piece torn, and then ends."""
    from phase8.engine.fuse import safetensors_writer as shards

    stock, left = shards._write, [byte]

    def write(file: int, data: memoryview, offset: int) -> None:
        stock(file, data[: left[0]], offset)
        left[0] -= len(data)
        if left[0] <= 0:
            end()

    return write


def assert_finished_by_the_next_run(root: Path, moe: tuple[Path, Path], undisturbed: list[dict[str, bytes]]) -> None:
    """With the bytes of a run that nobody killed, sound by its manifest, and nothing half-done beside it."""
    store = Store(root)
    assert [contents(folder) for folder in store.ensure_all(steps(), building(moe))] == undisturbed
    assert store.verify() == {store.path(step): [] for step in steps()}
    assert not list((root / PARTIAL).iterdir())


@pytest.mark.parametrize("share", [random.Random(20).random() for _ in range(20)])
def test_a_pass_killed_at_any_byte_is_never_taken_for_complete_and_the_next_finishes(
    share: float,
    moe: tuple[Path, Path],
    undisturbed: list[dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty random points among the weights of all folders, with nothing tidied up."""
    from phase8.engine.fuse import safetensors_writer as shards
    from phase8.engine.load.models import check_model_folder

    def killed() -> None:
        raise KeyboardInterrupt

    store, total = Store(tmp_path), sum(len(files["model.safetensors"]) for files in undisturbed)
    with monkeypatch.context() as kill:
        kill.setattr(shards, "_write", killing_at(round(share * total), killed))
        kill.setattr("phase8.core.store.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.ensure_all(steps(), building(moe))
    left = list((tmp_path / PARTIAL).iterdir())
    assert len(left) == len(INTERRUPTED)
    for folder in left:
        with pytest.raises(InvalidInput, match="no config"):
            check_model_folder(folder)
    assert [store.find(step) for step in steps()] == [None] * len(INTERRUPTED)
    assert list(store.artefacts()) == []
    assert_finished_by_the_next_run(tmp_path, moe, undisturbed)


@pytest.mark.parametrize(
    ("where", "call", "complete"),
    [
        ("phase8.engine.fuse.fuse.save_config", 0, 0),
        ("phase8.engine.fuse.fuse.save_config", 1, 0),
        ("phase8.core.store.os.replace", 0, 0),
        ("phase8.core.store.os.replace", 1, 1),
    ],
    ids=["before the first config", "before the second config", "before the first rename", "between the renames"],
)
def test_a_pass_killed_after_the_weights_is_finished_too(
    where: str,
    call: int,
    complete: int,
    moe: tuple[Path, Path],
    undisturbed: list[dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A width that was renamed into place is complete and is kept; the others are not there."""
    from phase8.engine.fuse import fuse as fuse_module

    calls, stock = [0], fuse_module.save_config if "config" in where else os.replace

    def counted(*arguments: Any, **named: Any) -> None:
        if calls[0] == call:
            raise KeyboardInterrupt
        calls[0] += 1
        stock(*arguments, **named)

    store = Store(tmp_path)
    with monkeypatch.context() as kill:
        kill.setattr(where, counted)
        kill.setattr("phase8.core.store.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.ensure_all(steps(), building(moe))
    assert [store.find(step) is not None for step in steps()] == [n < complete for n in range(len(INTERRUPTED))]
    assert_finished_by_the_next_run(tmp_path, moe, undisturbed)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_process_that_the_system_kills_leaves_no_lock_and_no_half_folder(
    share: float, moe: tuple[Path, Path], undisturbed: list[dict[str, bytes]], tmp_path: Path
) -> None:
    """SIGKILL, as from the system when memory runs out."""
    byte = round(share * sum(len(files["model.safetensors"]) for files in undisturbed))
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom phase8.engine.fuse import safetensors_writer\n"
        "from phase8.core.store import Store\nfrom suites.unit.test_fuse import building, killing_at, steps\n"
        f"safetensors_writer._write = killing_at({byte}, lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
        f"Store(Path({str(tmp_path)!r})).ensure_all(steps(), building((Path({str(moe[0])!r}), Path({str(moe[1])!r}))))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert [Store(tmp_path).find(step) for step in steps()] == [None] * len(INTERRUPTED)
    assert_finished_by_the_next_run(tmp_path, moe, undisturbed)


OWN_FILES = {
    "special_tokens_map.json": b'{"eos_token":"<|im_end|>"}\r\n',
    "added_tokens.json": b'{ "<|im_end|>" : 2 }',
    "vocab.json": b"{}",
    "merges.txt": b"#version: 0.2\n",
    "tokenizer.model": bytes(range(256)),
    "own.tiktoken": b"IQ== 0\n",
    "chat_template.json": b'{"chat_template":  "x"}',
    "chat_template.jinja": b"{% for m in messages %}\n{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
    "additional_chat_templates/tools.jinja": b"{{ tools }}",
    "generation_config.json": b'{"eos_token_id":[2,  0]}',
    "preprocessor_config.json": b"{}\n\n",
    "model_own.py": b"raise SystemExit\n",
}


def pocket_like(out: Path, tokenizer: Path) -> Path:
    """A base that the harness trains itself."""
    from phase8.engine.load.chat import Row
    from phase8.engine.train.pocket import train_base
    from phase8.profile.sections import PocketBase

    sizes = {"vocabulary": 300, "hidden_size": 64, "layers": 2, "experts": 4, "experts_per_token": 2}
    steps = {"iterations": 1, "batch_size": 1, "learning_rate": 1e-3, "seed": 0, "parameters": 1}
    out.mkdir()
    row = Row(tokens=(5, 6, 7, 2), assistant=(False, True, True, True))
    train_base(PocketBase(kind="pocket", **sizes, **steps), tokenizer, [row] * 2, out)
    return out


def gguf_like(out: Path, tokenizer: Path) -> Path:
    """A base with the tokenizer that a conversion writes, of the words of another one."""
    import mlx.core as mx

    from phase8.engine.load.gguf import _save_tokenizer

    model_folder(out, tokenizer, TIED, group_size=64, bits=4)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (out / name).unlink()
    known = read(tokenizer, "tokenizer.json")
    tokens = [token for token, _ in sorted(known["model"]["vocab"].items(), key=lambda item: item[1])]
    ids = {"bos": 1, "eos": 2, "padding": 2, "unknown": 0}
    meta = {
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in known["model"]["merges"]],
        "tokenizer.ggml.token_type": mx.array([3 if token.startswith("<|") else 1 for token in tokens]),
        "tokenizer.chat_template": read(tokenizer, "tokenizer_config.json")["chat_template"],
        "llama.context_length": mx.array(256),
        **{f"tokenizer.ggml.{name}_token_id": mx.array(number) for name, number in ids.items()},
    }
    _save_tokenizer(meta, out)
    return out


@pytest.mark.parametrize("made", [pocket_like, gguf_like])
def test_a_base_that_the_harness_makes_is_read_by_other_clients(
    made: Callable[[Path, Path], Path], tokenizer: Path, tmp_path: Path
) -> None:
    """Its tokenizer is of a class that transformers has had since version 3, and nothing of it stands there twice."""
    base = made(tmp_path / "base", tokenizer)
    config = read(base, "tokenizer_config.json")
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "chat_template" in config
    assert not {"backend", "is_local"} & set(config)
    beside = {"README.md", "config.json", "model.safetensors", "model.safetensors.index.json"}
    assert {path.name for path in base.iterdir()} - beside == {"tokenizer.json", "tokenizer_config.json"}
    if made is pocket_like:
        assert contents(tokenizer).items() <= contents(base).items()


@pytest.mark.parametrize("more", [{}, OWN_FILES], ids=["own", "with others' files"])
@pytest.mark.parametrize("made", [pocket_like, gguf_like])
def test_a_fused_folder_holds_the_tokenizer_files_of_its_base_byte_for_byte(
    made: Callable[[Path, Path], Path], more: dict[str, bytes], tokenizer: Path, tmp_path: Path
) -> None:
    """At every width and as floats; read by plain mlx-lm it gives the same tokens in the same template."""
    from mlx_lm import load

    from phase8.core.model_files import taken_over
    from phase8.engine.integrity.check import integrity

    base = made(tmp_path / "base", tokenizer)
    for name, content in more.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_bytes(content)
    adapter = adapter_folder(tmp_path / "adapter", base)
    folders = fused(base, adapter, [kept(None), kept(5), target(4, 64, "mlx-lm")], tmp_path / "fused")
    names = sorted(map(Path, ["tokenizer.json", "tokenizer_config.json", *more]))
    asked = [{"role": "user", "content": "find <|im_end|> in a.py"}]
    wanted = load(str(base))[1].apply_chat_template(asked, add_generation_prompt=True)
    for folder in folders:
        assert taken_over(folder) == taken_over(base) == names
        for name in names:
            assert (folder / name).read_bytes() == (base / name).read_bytes(), name
        assert load(str(folder))[1].apply_chat_template(asked, add_generation_prompt=True) == wanted
    assert [found.outcome for found in integrity(base, adapter, folders[1:])] == ["equal", "equal"]


def test_a_folder_with_a_tokenizer_that_was_written_anew_is_judged_by_its_weights(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As stock writes it: nothing is asked of folders made elsewhere that only ours hold."""
    from phase8.engine.integrity.check import integrity

    base = pocket_like(tmp_path / "base", tokenizer)
    adapter = adapter_folder(tmp_path / "adapter", base)
    stock = stock_float(base, adapter, tmp_path / "stock", monkeypatch)
    assert read(stock, "tokenizer_config.json") != read(base, "tokenizer_config.json")
    (found,) = integrity(base, adapter, [stock])
    assert found.outcome == "equal"


def test_fast_kernels_give_the_bits_of_mlx() -> None:
    """On weights that the check at first use has not seen; where it fails, MLX's own kernel is used."""
    import mlx.core as mx

    from phase8.engine.fuse.kernels import dequantise, quantise_all

    ways = [(group, bits, "affine") for group in GROUPS for bits in BITS]
    for dtype in (mx.bfloat16, mx.float16, mx.float32):
        weight = mx.random.normal((5, 12, 256), scale=0.2, key=mx.random.key(1)).astype(dtype)
        for (group, bits, mode), ours in zip(ways, quantise_all(weight, ways), strict=True):
            stock = mx.quantize(weight, group, bits)
            assert all(mx.array_equal(a, b).item() and a.dtype == b.dtype for a, b in zip(ours, stock, strict=True))
            back = dequantise(*ours, group_size=group, bits=bits, mode=mode)
            kernel = mx.dequantize(*stock, group_size=group, bits=bits)
            assert back.dtype == kernel.dtype
            assert mx.array_equal(back.view(mx.uint8), kernel.view(mx.uint8)).item(), (dtype, group, bits)
