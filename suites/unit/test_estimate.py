"""What stages take by estimate, and what a machine can give."""

import json
from pathlib import Path

import pytest

from phase8.core.weight_files import weights_of
from phase8.profile.loading import load
from phase8.runner import estimate
from phase8.runner.parallel import _workers
from phase8.survival.stage import all_steps
from suites.unit.machines import pretend, sysctl
from suites.unit.profiles import flow, located
from suites.unit.tiny import MOE, TIED, model_folder, tokenizer_folder

OWN = ('[[models]]\nname = "tuned"\npath = "tuned"\nrole = "production"\n', '[base]\nkind = "model"\nmodel = "tuned"\n')


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for the models here."""
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize(
    ("config", "quantisation"),
    [(MOE, {"group_size": 32, "bits": 4}), (TIED, {"group_size": 64, "bits": 6}), (TIED, {})],
    ids=["moe", "tied", "floats"],
)
def test_weights_are_counted_by_headers_as_mlx_lm_counts_them(
    config: dict, quantisation: dict, tokenizer: Path, tmp_path: Path
) -> None:
    """Codes by the weights they stand for, not by their words."""
    folder = model_folder(tmp_path / "model", tokenizer, config, **quantisation)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["metadata"]
    found = weights_of(folder)
    assert found is not None
    assert found.parameters == index["total_parameters"]
    assert 8 * index["total_size"] / found.parameters <= found.bits < 1.1 * 8 * index["total_size"] / found.parameters


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"[]", b"\x08" + b"\0" * 7 + b'{"a": 1}', b"\0" * 8]
)
def test_weights_that_cannot_be_read_are_not_known(content: bytes, tmp_path: Path) -> None:
    """They are no weights of zero."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    assert weights_of(tmp_path) is None


def test_a_base_that_says_nothing_of_its_size_is_measured(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 on a CPU, as its files hold it on Metal; what the profile says goes before."""
    model_folder(tmp_path / "tuned", tokenizer, MOE, group_size=32, bits=4)
    found = weights_of(tmp_path / "tuned")
    assert found is not None
    for device, bits in (("cpu", 32), ("metal", found.bits)):
        pretend(monkeypatch, device, 64)
        stages = flow(located(tmp_path, OWN), tmp_path / "build")
        assert estimate.answering_gb(stages, stages.variant("base")) == pytest.approx(
            found.parameters * bits / 8e9 * (3.5 if device == "cpu" else 1) + 0.3
        )
    declared = (OWN[0], OWN[1] + "parameters = 10_000_000_000\n")
    stages = flow(located(tmp_path, declared), tmp_path / "build")
    assert estimate.answering_gb(stages, stages.variant("base")) == pytest.approx(10 * found.bits / 8 + 0.3)


def test_a_width_is_estimated_by_its_bits_on_metal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 GiB were measured at 8 bits and 20 at 5; on a CPU every width is float32."""
    pretend(monkeypatch, "metal", 34.4)
    stages = flow(load("qwen3-coder-30b"), tmp_path / "build")
    sizes = {bits: estimate.answering_gb(stages, stages.variant(f"fused-{bits}bit")) for bits in (5, 8)}
    assert sizes == {5: pytest.approx(20 * 1.074, rel=0.05), 8: pytest.approx(30 * 1.074, rel=0.05)}
    peaks = estimate.peaks_gb(stages, all_steps(stages))
    assert peaks[stages.probe.key] == pytest.approx(22.978, rel=0.05)
    pretend(monkeypatch, "cpu", 34.4)
    stages = flow(load("smollm2"), tmp_path / "build")
    assert estimate.answering_gb(stages, stages.variant("fused-5bit")) == pytest.approx(2.0, rel=0.05)
    assert estimate.peaks_gb(stages, [stages.probe])[stages.probe.key] == pytest.approx(1.2, rel=0.05)


@pytest.mark.parametrize(("script", "gb"), [("echo 28672", 28672 * 2**20 / 1e9), ("echo 0", 24), ("exit 1", 24)])
def test_metal_gives_its_wired_limit(script: str, gb: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As set; 0 and an old system stand for three quarters of memory."""
    read = estimate._wired_limit_mb
    pretend(monkeypatch, "metal", 32)
    monkeypatch.setattr(estimate, "_wired_limit_mb", read)
    sysctl(tmp_path, monkeypatch, f'[ "$*" = "-n iogpu.wired_limit_mb" ] && {script}')
    assert estimate.usable_memory().gb == pytest.approx(gb)


def test_a_cpu_gives_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it."""
    pretend(monkeypatch, "cpu", 25.3)
    assert estimate.usable_memory().gb == 25.3


@pytest.mark.parametrize(("memory_gb", "workers"), [(64.0, 2), (43.0, 2), (42.9, 1), (15.0, 1)])
def test_two_are_asked_at_once_only_where_memory_holds_both(
    memory_gb: float, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By estimate, 21.5 GB each."""
    pretend(monkeypatch, "cpu", memory_gb)
    found = located(tmp_path, (OWN[0], OWN[1] + "parameters = 5_000_000_000\n"))
    (tmp_path / "tuned").mkdir()
    stages = flow(found, tmp_path / "build")
    assert _workers(stages, [stages.variant("base")] * 3) == workers
