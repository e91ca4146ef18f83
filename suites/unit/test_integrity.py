"""Integrity: every code of a fused folder is Q(W + delta), and a loss is named with its module and expert."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phase8.core.errors import InvalidInput
from phase8.quant.layout import Target, target
from phase8.record.integrity import FolderIntegrity, ModuleIntegrity
from phase8.stages import external
from suites.unit.tiny import MOE, TIED, UNTIED, adapter_folder, model_folder, tokenizer_folder

LAST = "model.layers.1"
EXPERTS = f"{LAST}.mlp.switch_mlp.up_proj"
QUERY = f"{LAST}.self_attn.q_proj"
FIVE = target(5, 64, "mlx-lm")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for every model here."""
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def moe(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A 4-bit qwen3_moe and an adapter on its last layer: attention, router and experts."""
    base = model_folder(tmp_path_factory.mktemp("moe"), tokenizer, MOE, group_size=32, bits=4)
    return base, adapter_folder(tmp_path_factory.mktemp("adapter"), base)


def fused(base: Path, adapter: Path, out: Path, *targets: Target) -> list[Path]:
    """Our folders, one a target."""
    from phase8.engine.fuse.fuse import fuse

    folders = [out / f"fused-{number}" for number in range(len(targets))]
    for folder in folders:
        folder.mkdir(parents=True)
    fuse(base, adapter, list(zip(targets, folders, strict=True)))
    return folders


def judged(base: Path, adapter: Path, folder: Path) -> FolderIntegrity:
    """One folder."""
    from phase8.engine.integrity.check import integrity

    (found,) = integrity(base, adapter, [folder])
    return found


def changed(adapter: Path, out: Path, change: Callable[[str, Any], Any]) -> Path:
    """A copy of an adapter with other tensors."""
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays

    shutil.copytree(adapter, out)
    tensors = load_arrays(adapter / "adapters.safetensors").arrays
    mx.save_safetensors(str(out / "adapters.safetensors"), {name: change(name, a) for name, a in tensors.items()})
    return out


def rewritten(folder: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a model folder whose tensors somebody changed."""
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays

    shutil.copytree(folder, out)
    tensors = load_arrays(folder / "model.safetensors").arrays
    mx.eval(tensors)
    change(tensors)
    (out / "model.safetensors.index.json").unlink()
    mx.save_safetensors(str(out / "model.safetensors"), tensors, {"format": "mlx"})
    return out


def module(found: FolderIntegrity, path: str) -> ModuleIntegrity:
    """What is said of one module."""
    return next(module for module in found.modules if module.path == path)


@pytest.mark.parametrize(
    ("config", "quantisation", "keys", "kind"),
    [
        (MOE, {"group_size": 32, "bits": 4}, (), "lora"),
        (MOE, {"group_size": 32, "bits": 4, "mode": "mxfp4"}, (), "lora"),
        (TIED, {"group_size": 64, "bits": 8}, ("model.embed_tokens",), "lora"),
        (UNTIED, {}, ("lm_head",), "lora"),
        (UNTIED | {"torch_dtype": "float16"}, {"group_size": 64, "bits": 4}, (), "dora"),
    ],
    ids=["moe", "moe, mxfp4", "tied, adapted embedding", "untied, float base", "DoRA, another dtype in the config"],
)
def test_our_folders_are_equal(
    config: dict[str, Any],
    quantisation: dict[str, Any],
    keys: tuple[str, ...],
    kind: str,
    tokenizer: Path,
    tmp_path: Path,
) -> None:
    """Both recipes, floats too, several folders in one pass; every module of the model is in the record."""
    from phase8.engine.integrity.check import integrity
    from phase8.engine.load.models import read_model

    base = model_folder(tmp_path / "base", tokenizer, config, **quantisation)
    adapter = adapter_folder(tmp_path / "adapter", base, *keys, kind=kind)
    recipes = [target(bits, 64, recipe) for recipe in ("mlx-lm", "preserve") for bits in (3, 8)]
    folders = fused(base, adapter, tmp_path, *recipes, target(None, 64, "preserve"))
    for found, folder in zip(integrity(base, adapter, folders), folders, strict=True):
        assert found.outcome == "equal", found.faults
        paths = {path for path, part in read_model(folder).named_modules() if "weight" in part}
        assert paths == {one.path for one in found.modules}
        assert {one.path for one in found.modules if one.touched} >= {QUERY}
    assert (found.base_key, found.adapter_key) == (external.folder_key(base), external.folder_key(adapter))


@pytest.mark.parametrize("requantised", [False, True], ids=["fuse", "fuse, convert --dtype float16"])
def test_a_folder_of_stock_mlx_lm_is_equal(
    requantised: bool, moe: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused at the base's own width, or converted to another dtype, with bits of its own for some modules."""
    import importlib

    from mlx_lm import convert

    out = tmp_path / "stock"
    arguments = ["fuse", "--model", moe[0], "--adapter-path", moe[1], "--save-path", out]
    monkeypatch.setattr("sys.argv", [*map(str, arguments), *(["--dequantize"] if requantised else [])])
    importlib.import_module("mlx_lm.fuse").main()
    if requantised:
        stock, out = out, tmp_path / "converted"
        convert(str(stock), str(out), quantize=True, dtype="float16", quant_predicate="mixed_4_6", q_group_size=32)
    found = judged(*moe, out)
    assert found.outcome == "equal", found.faults
    assert {one.bits for one in found.modules} == ({None, 4, 6} if requantised else {None, 4, 8})


def test_an_mxfp4_base_fused_by_stock_mlx_lm_is_judged_in_its_own_mode(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole it is equal; with a twentieth of the delta, or none, every touched module is named."""
    import importlib

    base = model_folder(tmp_path / "base", tokenizer, MOE, group_size=32, bits=4, mode="mxfp4")
    adapter = adapter_folder(tmp_path / "adapter", base)
    factors = {"whole": 1.0, "weak": 0.05, "none": 0.0}
    said = {}
    for name, factor in factors.items():
        other = changed(adapter, tmp_path / f"x{name}", lambda n, a, f=factor: a * f if n.endswith("lora_b") else a)
        arguments = ["fuse", "--model", base, "--adapter-path", other, "--save-path", tmp_path / name]
        monkeypatch.setattr("sys.argv", list(map(str, arguments)))
        importlib.import_module("mlx_lm.fuse").main()
        said[name] = judged(base, adapter, tmp_path / name)
    assert said["whole"].outcome == "equal", said["whole"].faults
    touched = {one.path for one in said["whole"].modules if one.touched}
    assert {one.path for one in said["weak"].faults} == {one.path for one in said["none"].faults} == touched
    assert {one.outcome for one in said["none"].faults} == {"adapter missing"}
    assert all((one.delta_share or 0) < 0.2 for one in said["weak"].faults)


def test_several_shards_are_one_folder(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Tensors are found by name, wherever they lie."""
    import mlx.core as mx

    (folder,) = fused(*moe, tmp_path, FIVE)

    def split(tensors: dict[str, Any]) -> None:
        names = sorted(tensors)
        mx.save_safetensors(str(tmp_path / "model-2.safetensors"), {n: tensors.pop(n) for n in names[::2]})

    out = rewritten(folder, tmp_path / "split", split)
    shutil.move(tmp_path / "model-2.safetensors", out)
    assert judged(*moe, out).outcome == "equal"


@pytest.mark.parametrize("recipe", ["mlx-lm", "preserve"])
@pytest.mark.parametrize("bits", [4, 5, 8, None])
def test_a_folder_without_the_adapter_is_called_so_by_name(
    bits: int | None, recipe: str, moe: tuple[Path, Path], tmp_path: Path
) -> None:
    """Every module that the adapter touches, and no other."""
    from phase8.engine.fuse.zero_delta import zero_adapter

    zero_adapter(*moe, tmp_path / "zero")
    (folder,) = fused(moe[0], tmp_path / "zero", tmp_path, target(bits, 32, recipe))
    found = judged(*moe, folder)
    assert found.outcome == "adapter missing"
    assert {one.path for one in found.faults} == {one.path for one in found.modules if one.touched}
    assert all(one.reason.startswith("ADAPTER MISSING: ") and one.delta_share == 0 for one in found.faults)


def test_the_base_itself_misses_the_adapter(moe: tuple[Path, Path]) -> None:
    """Its own codes are not always those of the control, which are quantised twice."""
    found = judged(*moe, moe[0])
    assert {one.outcome for one in found.faults} == {"adapter missing"}
    assert len(found.faults) == sum(one.touched for one in found.modules)


@pytest.mark.parametrize("recipe", ["mlx-lm", "preserve"])
@pytest.mark.parametrize("factor", [0.05, 2.0], ids=["scale / 20", "added twice"])
def test_a_delta_of_another_strength_is_measured(
    factor: float, recipe: str, moe: tuple[Path, Path], tmp_path: Path
) -> None:
    """Every touched module differs, with about that share of the delta; codes hold a weak one less than floats do."""
    other = changed(moe[1], tmp_path / "other", lambda name, a: a * factor if name.endswith("lora_b") else a)
    for folder in fused(moe[0], other, tmp_path, *(target(bits, 32, recipe) for bits in (4, 8, None))):
        found = judged(*moe, folder)
        assert {one.path for one in found.faults} == {one.path for one in found.modules if one.touched}
        for one in found.faults:
            assert one.outcome == "differs"
            assert one.delta_share == pytest.approx(factor, abs=0.05)
            assert f"{one.delta_share:.0%} of the delta is there" in one.reason


def test_another_adapter_on_one_layer_is_named(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Of another seed: the module differs, and next to nothing of the right delta is there."""
    import mlx.core as mx

    def other(name: str, array: Any) -> Any:
        return mx.random.normal(array.shape, scale=0.1, key=mx.random.key(9)) if QUERY in name else array

    (folder,) = fused(moe[0], changed(moe[1], tmp_path / "other", other), tmp_path, FIVE)
    (fault,) = judged(*moe, folder).faults
    assert (fault.path, fault.layer, fault.name, fault.outcome) == (QUERY, 1, "self_attn.q_proj", "differs")
    assert fault.delta_share == pytest.approx(0, abs=0.15)
    assert fault.differing > fault.weights / 2


def test_a_dropped_expert_is_named(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """The others of its stack are equal."""
    import mlx.core as mx

    def without(name: str, array: Any) -> Any:
        if name != f"{EXPERTS}.lora_b":
            return array
        return mx.concatenate([array[:2], mx.zeros_like(array[2:3]), array[3:]])

    (folder,) = fused(moe[0], changed(moe[1], tmp_path / "other", without), tmp_path, FIVE)
    (fault,) = judged(*moe, folder).faults
    assert (fault.path, fault.outcome, fault.experts) == (EXPERTS, "adapter missing", 4)
    assert fault.experts_missing == fault.experts_differing == (2,)
    assert fault.reason.startswith("ADAPTER MISSING in expert 2 of 4: ")
    assert 0 < fault.differing <= fault.weights / 4


def test_a_folder_quantised_twice_differs_with_its_delta(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Fused at 4 bits, dequantised, quantised at 5: every quantised module, the delta there."""
    from mlx_lm import convert

    (once,) = fused(*moe, tmp_path, target(4, 32, "mlx-lm"))
    convert(str(once), str(tmp_path / "float"), dequantize=True)
    convert(str(tmp_path / "float"), str(tmp_path / "twice"), quantize=True, q_bits=5, q_group_size=32)
    found = judged(*moe, tmp_path / "twice")
    touched = [one for one in found.faults if one.touched]
    assert len(touched) == sum(one.touched and one.bits is not None for one in found.modules)
    assert {one.outcome for one in found.faults} == {"differs"}
    assert all("quantised twice" in one.reason and one.worst_steps for one in touched)


@pytest.mark.parametrize(("dtype", "size"), [("bfloat16", 1e-3), ("float32", 1e-5)])
@pytest.mark.parametrize("factor", [0.0, 0.05])
def test_a_small_delta_that_is_lost_is_never_called_rounding(
    factor: float, size: float, dtype: str, tokenizer: Path, tmp_path: Path
) -> None:
    """Each changed code is one step from a tie, and nearer than bfloat16's rounding; yet all go against the delta."""
    base = model_folder(tmp_path / "base", tokenizer, UNTIED, dtype=dtype, group_size=64, bits=8)
    full = adapter_folder(tmp_path / "full", base)
    adapter = changed(full, tmp_path / "small", lambda name, a: a * size if name.endswith("lora_b") else a)
    weak = changed(adapter, tmp_path / "weak", lambda name, a: a * factor if name.endswith("lora_b") else a)
    targets = [target(bits, 64, "preserve") for bits in (8, None)]
    right = fused(base, adapter, tmp_path / "whole", *targets)
    for folder, whole in zip(fused(base, weak, tmp_path, *targets), right, strict=True):
        found = judged(base, adapter, folder)
        unlike = {one.path for one in judged(base, weak, whole).faults}
        assert {one.path for one in found.faults} == unlike
        assert {one.outcome for one in found.faults} <= {"adapter missing", "differs"}
    assert unlike or dtype == "bfloat16"


def test_a_weak_delta_is_not_called_rounding_where_each_of_its_codes_could_be(tokenizer: Path, tmp_path: Path) -> None:
    """Its codes alone, under the right scales: every one within bfloat16's rounding of a tie, at eight bits."""
    import mlx.core as mx
    import numpy as np

    from phase8.engine.arrays import load_arrays
    from phase8.engine.fuse.float_model import merge

    base = model_folder(tmp_path / "base", tokenizer, UNTIED, group_size=64, bits=8)
    full = adapter_folder(tmp_path / "full", base)
    adapter = changed(full, tmp_path / "small", lambda name, a: a * 5e-3 if name.endswith("lora_b") else a)
    weak = changed(adapter, tmp_path / "weak", lambda name, a: a * 0.05 if name.endswith("lora_b") else a)
    (right,), (other,) = (
        fused(base, one, tmp_path / one.name / "out", target(8, 64, "preserve")) for one in (adapter, weak)
    )

    own = merge(base, adapter).sources[f"{QUERY}.weight"].block(0, 128).astype(mx.float32)

    def graft(tensors: dict[str, Any]) -> None:
        weaker = load_arrays(other / "model.safetensors").arrays
        codes = [np.array(t[f"{QUERY}.weight"].view(mx.uint8)).astype(int) for t in (tensors, weaker)]
        pairs = [(tensors[f"{QUERY}.{leaf}"], weaker[f"{QUERY}.{leaf}"]) for leaf in ("scales", "biases")]
        same = [np.array(mine.view(mx.uint16) == theirs.view(mx.uint16)) for mine, theirs in pairs]
        alike = np.repeat(same[0] & same[1], 64, axis=1)
        taken = alike & (np.abs(np.array(own)) > 0.06) & (np.abs(codes[0] - codes[1]) <= 1)
        tensors[f"{QUERY}.weight"] = mx.array(np.where(taken, codes[1], codes[0]).astype(np.uint8)).view(mx.uint32)

    (fault,) = judged(base, adapter, rewritten(right, tmp_path / "grafted", graft)).faults
    assert (fault.path, fault.outcome) == (QUERY, "differs")
    assert fault.worst_steps == pytest.approx(1, abs=0.01)
    assert fault.delta_share == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize("bits", [4, 8])
def test_codes_next_to_a_tie_are_no_rounding_where_the_floats_are_known(
    bits: int, moe: tuple[Path, Path], tmp_path: Path
) -> None:
    """A bfloat16 weight a hundredth of a step from a tie is as far from it everywhere: its code is flipped."""
    import mlx.core as mx
    import numpy as np

    from phase8.engine.fuse.float_model import merge

    (folder,) = fused(*moe, tmp_path, target(bits, 32, "mlx-lm"))
    weight = merge(*moe).sources[f"{QUERY}.weight"].block(0, 128).astype(mx.float32)
    _, scales, biases = mx.quantize(weight, 32, bits)
    exact = np.array((weight.reshape(128, -1, 32) - biases[..., None]) / scales[..., None]).reshape(128, -1)
    near = np.abs(np.abs(exact - np.floor(exact) - 0.5) - 0.01) < 0.009
    ties = [tuple(at) for at in np.argwhere(near) if 1 < exact[tuple(at)] < 2**bits - 2][:12]
    assert len(ties) == 12

    def change(tensors: dict[str, Any]) -> None:
        packed = np.array(tensors[f"{QUERY}.weight"].view(mx.uint8))
        codes = (packed if bits == 8 else np.stack([packed & 15, packed >> 4], -1).reshape(128, -1)).astype(int)
        for at in ties:
            codes[at] += 1 if exact[at] > codes[at] else -1
        packed = codes if bits == 8 else codes[:, ::2] | codes[:, 1::2] << 4
        tensors[f"{QUERY}.weight"] = mx.array(packed.astype(np.uint8)).view(mx.uint32)

    (fault,) = judged(*moe, rewritten(folder, tmp_path / "flipped", change)).faults
    assert (fault.path, fault.outcome, fault.differing) == (QUERY, "differs", 12)
    assert fault.worst_steps == pytest.approx(1, abs=0.01)
    assert "no BLAS, device or dtype rounds to 12 of its codes and the scales of 0 groups" in fault.reason


def test_one_changed_value_is_found_anywhere(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """In a kept code, a scale, a norm, a router's bias-free weight: the module is named with its count."""
    import mlx.core as mx

    (folder,) = fused(*moe, tmp_path, target(5, 32, "preserve"))
    kept, scale, norm = "model.layers.0.self_attn.k_proj", f"{LAST}.self_attn.v_proj", "model.layers.0.input_layernorm"

    def change(tensors: dict[str, Any]) -> None:
        flip = mx.zeros_like(tensors[f"{kept}.weight"])
        flip[0, 0] = 1
        tensors[f"{kept}.weight"] = tensors[f"{kept}.weight"] ^ flip
        tensors[f"{scale}.scales"] = tensors[f"{scale}.scales"] * 1.5
        tensors[f"{norm}.weight"] = tensors[f"{norm}.weight"] + 1

    found = judged(*moe, rewritten(folder, tmp_path / "changed", change))
    assert {one.path: (one.outcome, one.differing) for one in found.faults} == {
        kept: ("differs", 1),
        scale: ("differs", 0),
        norm: ("differs", 128),
    }
    assert module(found, scale).worst_steps == pytest.approx(15.5, abs=8)


def test_what_is_wrong_with_names_and_shapes_is_said(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """Missing, unexpected, another shape; every other module is compared all the same."""
    import mlx.core as mx

    (folder,) = fused(*moe, tmp_path, target(4, 32, "mlx-lm"))

    def change(tensors: dict[str, Any]) -> None:
        del tensors[f"{QUERY}.biases"]
        tensors["model.layers.1.extra.weight"] = mx.zeros((2, 2))
        tensors["model.norm.weight"] = mx.zeros((64,))
        tensors[f"{EXPERTS}.scales"] = tensors[f"{EXPERTS}.scales"][:, :, :-1]

    found = judged(*moe, rewritten(folder, tmp_path / "changed", change))
    said = {one.path: (one.outcome, one.reason) for one in found.faults}
    assert said[QUERY] == ("missing", f"missing from the folder: {QUERY}.biases")
    assert said["model.norm"] == ("shape", "wrong shape: model.norm.weight is (64,), not (128,)")
    assert said["model.layers.1.extra"][0] == "unexpected"
    assert said[EXPERTS][0] == "shape"
    assert len(said) == 4


def test_a_config_that_says_another_width_is_named(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """The tensors would be read as something else."""
    (folder,) = fused(*moe, tmp_path, target(5, 32, "preserve"))
    config = json.loads((folder / "config.json").read_text())
    config["quantization"][QUERY] = {"group_size": 32, "bits": 4, "mode": "affine"}
    (folder / "config.json").write_text(json.dumps(config))
    (fault,) = judged(*moe, folder).faults
    assert (fault.path, fault.outcome) == (QUERY, "width")
    assert "the config says 4 bits in groups of 32, the tensors are 5 bits in groups of 32" in fault.reason


def test_a_changed_setting_of_the_model_is_named(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """The same tensors are another model under another rotary base."""
    (folder,) = fused(*moe, tmp_path, target(5, 32, "preserve"))
    config = json.loads((folder / "config.json").read_text()) | {"rope_theta": 5.0}
    (folder / "config.json").write_text(json.dumps(config))
    found = judged(*moe, folder)
    assert (found.outcome, found.faults, found.settings) == ("differs", (), ("rope_theta 5.0, base 10000.0",))


def swapped(tensors: dict[str, Any]) -> None:
    """Two experts change places, the router does not."""
    import mlx.core as mx

    for leaf in ("weight", "scales", "biases"):
        name = f"{EXPERTS}.{leaf}"
        tensors[name] = tensors[name][mx.array([1, 0, 2, 3])]


def with_value(leaf: str, value: float) -> Callable[[dict[str, Any]], None]:
    """One scale or bias is this."""

    def change(tensors: dict[str, Any]) -> None:
        import mlx.core as mx

        held = tensors[f"{QUERY}.{leaf}"]
        first = mx.arange(held.size).reshape(held.shape) == 0
        tensors[f"{QUERY}.{leaf}"] = mx.where(first, mx.array(value, held.dtype), held)

    return change


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (swapped, EXPERTS),
        (with_value("scales", float("nan")), QUERY),
        (with_value("scales", float("inf")), QUERY),
        (with_value("biases", float("nan")), QUERY),
    ],
    ids=["swapped experts", "NaN scale", "infinite scale", "NaN bias"],
)
def test_a_damaged_module_is_named_and_never_called_rounding(
    change: Callable[[dict[str, Any]], None], path: str, moe: tuple[Path, Path], tmp_path: Path
) -> None:
    """And no other is."""
    (folder,) = fused(*moe, tmp_path, FIVE)
    (fault,) = judged(*moe, rewritten(folder, tmp_path / "changed", change)).faults
    assert (fault.path, fault.outcome) == (path, "differs")


def test_another_base_of_the_same_shape_is_not_taken_for_this_one(
    moe: tuple[Path, Path], tokenizer: Path, tmp_path: Path
) -> None:
    """Fused with the right adapter into weights that differ in one layer."""
    import mlx.core as mx

    name = "model.layers.0.self_attn.k_proj"

    def other(tensors: dict[str, Any]) -> None:
        tensors[f"{name}.scales"] = tensors[f"{name}.scales"] * mx.array(1.1, mx.bfloat16)

    (folder,) = fused(rewritten(moe[0], tmp_path / "base", other), moe[1], tmp_path, FIVE)
    assert [fault.path for fault in judged(*moe, folder).faults] == [name]


def test_floats_as_whole_numbers_are_no_floats(tokenizer: Path, tmp_path: Path) -> None:
    """A bias cut to integers would equal the recomputed one cast to integers."""
    import mlx.core as mx

    base = model_folder(tmp_path / "base", tokenizer, UNTIED, group_size=64, bits=4)
    adapter = adapter_folder(tmp_path / "adapter", base)
    (folder,) = fused(base, adapter, tmp_path, FIVE)

    def cut(tensors: dict[str, Any]) -> None:
        tensors[f"{QUERY}.bias"] = tensors[f"{QUERY}.bias"].astype(mx.int32)

    (fault,) = judged(base, adapter, rewritten(folder, tmp_path / "cut", cut)).faults
    assert (fault.path, fault.outcome) == (QUERY, "shape")
    assert "int32, which holds no fractions" in fault.reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_file": "other.py"}, "model_file 'other.py', base None"),
        ({"quantization": {}}, "width"),
        ({"quantization": None, "quantization_config": {"group_size": 32, "bits": 5}}, "width"),
        ({QUERY: {}}, "width"),
        ({QUERY: "5 bits"}, "cannot load it"),
        ({"model.norm": {"group_size": 32, "bits": 5}}, "width"),
        ({"quantize_activations": True}, "quantize_activations"),
    ],
    ids=["code", "no quantization", "no method", "an empty override", "in words", "of a norm", "activations"],
)
def test_a_config_that_makes_another_model_of_the_right_tensors_is_not_equal(
    change: dict[str, Any], said: str, moe: tuple[Path, Path], tmp_path: Path
) -> None:
    """mlx-lm refuses them, runs code of the folder in place of the model, or rounds what the layers read."""
    (folder,) = fused(*moe, tmp_path, target(5, 32, "mlx-lm"))
    config = json.loads((folder / "config.json").read_text())
    inside = {name: value for name, value in change.items() if "." in name}
    config = config | {name: value for name, value in change.items() if name not in inside}
    if inside:
        config["quantization"] |= inside
    (folder / "config.json").write_text(json.dumps(config))
    found = judged(*moe, folder)
    assert found.outcome != "equal"
    assert said in " ".join((*found.settings, *(fault.outcome for fault in found.faults)))


def test_a_tensor_in_two_files_is_refused(moe: tuple[Path, Path], tmp_path: Path) -> None:
    """The shard of an earlier model: which of both is loaded is up to the disk."""
    import mlx.core as mx

    (folder,) = fused(*moe, tmp_path, FIVE)
    left = {"model.norm.weight": mx.zeros((128,))}
    mx.save_safetensors(str(folder / "model-00001-of-00002.safetensors"), left)
    with pytest.raises(InvalidInput, match=r"1 tensors of model.safetensors are in another file too, first model.norm"):
        judged(*moe, folder)


@pytest.mark.parametrize(
    ("settings", "drop", "said"),
    [
        ({"keys": ["self_attn.q_proj"]}, "", "not an adapter parameter"),
        ({"rank": 2}, "", "does not fit the base"),
        ({}, "model", "holds no tensor"),
        ({}, f"{QUERY}.lora_b", "1 of 10 adapter tensors are missing"),
    ],
    ids=["fewer keys", "another rank", "no tensors", "one tensor less"],
)
def test_an_adapter_whose_config_and_tensors_part_is_refused(
    settings: dict[str, Any], drop: str, said: str, moe: tuple[Path, Path], tmp_path: Path
) -> None:
    """Else a folder without what was left out would be equal to base and adapter."""
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays

    other = shutil.copytree(moe[1], tmp_path / "other")
    config = json.loads((other / "adapter_config.json").read_text())
    config["lora_parameters"] |= settings
    (other / "adapter_config.json").write_text(json.dumps(config))
    tensors = load_arrays(other / "adapters.safetensors").arrays
    mx.eval(tensors)
    kept = {name: array for name, array in tensors.items() if not drop or not name.startswith(drop)}
    mx.save_safetensors(str(other / "adapters.safetensors"), kept)
    with pytest.raises(InvalidInput, match=said):
        judged(moe[0], other, moe[0])


def test_the_command_names_what_is_wrong_and_closes_with_one_line(
    moe: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 equal, 1 not, 2 invalid; as JSON the whole record."""
    from phase8.cli.main import main

    (folder,) = fused(*moe, tmp_path, target(5, 32, "preserve"))
    given = ["--base", str(moe[0]), "--adapter", str(moe[1])]
    assert main(["integrity", str(folder), *given]) == 0
    assert capsys.readouterr().out.startswith("EQUAL: every tensor is that of base + adapter, in 26 modules, 5 of them")
    assert main(["integrity", str(moe[0]), *given]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("ADAPTER MISSING" in line for line in lines) == 5
    assert lines[-1].startswith("NOT EQUAL: the adapter is missing: 5 adapter missing, of 26 modules")
    assert main(["integrity", str(moe[0]), *given, "--json"]) == 1
    assert FolderIntegrity.model_validate_json(capsys.readouterr().out).outcome == "adapter missing"
    assert main(["integrity", str(tmp_path / "nowhere"), *given]) == 2
    assert "no such model folder" in capsys.readouterr().err
