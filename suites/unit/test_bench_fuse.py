"""The fusing benchmark: its synthetic model, its commands, its closing lines."""

import sys
from pathlib import Path

import pytest

from phase8.cli.main import main
from phase8.core.store import PARTIAL, Store
from phase8.proofs.bench import fuse as bench_fuse
from phase8.proofs.bench.fuse import Cost, _commands, _run, _summary
from phase8.quant import synthetic
from phase8.quant.synthetic import layers_of


def test_twice_the_parameters_are_twice_the_layers() -> None:
    """The size is in the depth, so that no tensor is larger in a larger model."""
    assert (layers_of(1.3e9), layers_of(2.6e9), layers_of(1)) == (16, 33, 2)


def test_the_synthetic_model_fuses_at_every_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here with small layers; base and adapter are folders that mlx-lm takes."""
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.load.models import load_shipped
    from phase8.engine.synthetic import make_synthetic
    from phase8.quant.layout import target

    for name, value in {"HIDDEN": 128, "EXPERTS": 4, "EXPERT_SIZE": 64, "VOCABULARY": 320, "HEAD_SIZE": 8}.items():
        monkeypatch.setattr(synthetic, name, value)
    make_synthetic(4, tmp_path)
    model, _ = load_shipped(tmp_path / "base", tmp_path / "adapter")
    adapted = {name.split(".")[2] for name, module in model.named_modules() if hasattr(module, "fuse")}
    assert adapted == {"2", "3"}
    (tmp_path / "fused").mkdir()
    fuse(tmp_path / "base", tmp_path / "adapter", [(target(5, 64, "preserve"), tmp_path / "fused")])
    load_shipped(tmp_path / "fused")


def test_stock_runs_the_commands_of_a_user(tmp_path: Path) -> None:
    """One to fuse and one for each width; ours is one process for all."""
    stock = _commands("stock", tmp_path / "model", tmp_path / "out")
    assert [command[3] for command in stock] == ["fuse"] + ["convert"] * 4
    assert [command[command.index("--q-bits") + 1] for command in stock[1:]] == ["4", "5", "6", "8"]
    assert len(_commands("mlx-lm", tmp_path / "model", tmp_path / "out")) == 1


def test_prune_leaves_a_running_side_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is there until it is done, and no longer."""
    store, left = Store(tmp_path), []

    def run(command: list[str]) -> int:
        store.prune(set())
        left.append(len(list((tmp_path / PARTIAL).iterdir())))
        return 7

    monkeypatch.setattr(bench_fuse, "_run", run)
    assert bench_fuse._measure("mlx-lm", tmp_path / "model", store).peak_bytes == 7
    assert left == [1]
    assert not list((tmp_path / PARTIAL).iterdir())


def test_a_command_that_fails_ends_the_benchmark_with_its_output() -> None:
    """A failed side has no time."""
    with pytest.raises(RuntimeError, match="ended with 3:\nno room"):
        _run([sys.executable, "-c", "print('no room'); raise SystemExit(3)"])


def test_the_peak_of_a_command_is_its_own() -> None:
    """In bytes: a process that fills 200 MB peaks above that, and a small one stays below."""
    filled, small = (_run([sys.executable, "-c", f"x = b'1' * {size}"]) for size in (200_000_000, 1))
    assert 200e6 < filled < 400e6
    assert small < 100e6


def test_the_closing_lines_are_ours_over_stock() -> None:
    """Wall and peak with their intervals, and how each side grows."""

    def cost(seconds: float, peak: int, written: int) -> Cost:
        return Cost(seconds=seconds, peak_bytes=peak, written_bytes=written)

    costs = {
        "stock": [cost(50, 4_000_000_000, 6_000_000_000)] * 3,
        "mlx-lm": [cost(20, 200_000_000, 4_000_000_000)] * 3,
    }
    twice = {"stock": cost(100, 8_000_000_000, 12_000_000_000), "mlx-lm": cost(40, 210_000_000, 8_000_000_000)}
    assert _summary(costs, twice, ["mlx-lm"]) == [
        "stock: 6.00 GB written; twice the size: peak x 2.00, written x 2.00",
        "mlx-lm: 4.00 GB written; twice the size: peak x 1.05, written x 2.00",
        "recipe mlx-lm: wall ratio 0.40 (0.40-0.40, n=3)",
        "recipe mlx-lm: peak ratio 0.05 (0.05-0.05, n=3)",
    ]


@pytest.mark.parametrize("parameters", ["nan", "inf", "0", "-1e9"])
def test_a_size_that_is_none_is_refused(tmp_path: Path, parameters: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is built."""
    assert main(["bench", "fuse", f"--parameters={parameters}", "--build", str(tmp_path / "build")]) == 2
    assert capsys.readouterr().err.startswith("error: --parameters is ")
