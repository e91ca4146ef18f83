"""Losses planted in the folders of a real run of ``pocket``: every gate that must turn red does, and names them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phase8.core.project import ROOT
from phase8.core.store import Store
from phase8.profile.loading import PROFILES, load
from phase8.quant.layout import target
from phase8.record.files import load_run, load_verdict
from phase8.stages.flow import Flow
from phase8.survival.stage import SurvivalStage
from suites.unit.pocket_run import PocketRun


def judged(profile: str, build: Path, reports: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The suite of survival as a run starts it, without the others."""
    command = [sys.executable, "-m", "pytest", "suites/phase8/test_survival.py", "-q", "--profile", profile]
    command += ["--build", str(build), "--reports", str(reports), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_folder_that_lost_its_adapter_turns_the_run_red(pocket: PocketRun, tmp_path: Path) -> None:
    """The weights of the zero-delta control under a fused name: the codes say so, and no gain is left."""
    other = tmp_path / "build"
    shutil.copytree(pocket.build, other)
    stage = SurvivalStage(Flow(load("pocket"), Store(other)))
    fused, zero = (stage.rung(name) for name in ("fused-5bit", "zero-5bit"))
    paths = [stage.flow.path(rung.folder) / "model.safetensors" for rung in (zero, fused)]
    shutil.copy(*paths)
    for step in (stage.scores(fused), stage.survived(fused), stage.flow.replies(fused)):
        shutil.rmtree(stage.flow.store.path(step))
    ran = judged("pocket", other, tmp_path / "r", "--variant", "fused-5bit")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    reasons = "\n".join(load_verdict(tmp_path / "r").reasons)
    assert "fused-5bit: integrity: fail" in reasons
    assert "self_attn.q_proj: ADAPTER MISSING: " in reasons
    (recovery,) = (v for v in load_run(tmp_path / "r").verdicts if v.gate == "recovery")
    assert recovery.status != "pass"
    assert (
        (tmp_path / "r" / "report.md").read_text(encoding="utf-8").startswith("# No judged width is shown to be safe")
    )


LOSSES = {  # what is planted at a width: the module that integrity names, what it says, the share of the delta if any
    8: ("model.layers.0.self_attn.q_proj", "differs: ", (0.0, 0.25)),  # scale / 20
    6: ("model.layers.3.self_attn.q_proj", "differs: ", (-0.2, 0.2)),  # another seed on this one
    5: ("model.layers.3.mlp.switch_mlp.up_proj", "ADAPTER MISSING in expert 2 of 8", None),
    4: ("model.layers.0.mlp.gate", "differs: ", (1.5, 2.5)),  # added twice
    3: ("model.layers.0.self_attn.q_proj", "quantised twice", None),
}
# All others are bit for bit what base and adapter give: integrity blames no module that is whole.
WHOLE = {6: "49 of 50 modules", 5: "49 of 50 modules"}


def plant(profile: str, build: str, work: Path) -> None:
    """Put the weights of a loss into each judged folder of a store, and forget what was found out about it.

    In a process of its own, whose BLAS is the one that the right folders were fused with.
    """
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.fuse.zero_delta import zero_adapter
    from phase8.engine.score.reference_nll import scaled

    stage = SurvivalStage(Flow(load(profile), Store(Path(build))))
    flow = stage.flow
    base, adapter = flow.path(flow.base), flow.path(flow.adapter)
    folders = {bits: flow.path(stage.rung(f"fused-{bits}bit").folder) for bits in LOSSES}

    def changed(name: str, change: Callable[[str, Any], Any]) -> Path:
        tensors = load_arrays(adapter / "adapters.safetensors").arrays
        shutil.copytree(adapter, work / name)
        new = {key: change(key, array) for key, array in tensors.items()}
        mx.save_safetensors(str(work / name / "adapters.safetensors"), new)
        return work / name

    def other_seed(name: str, array: Any) -> Any:
        ours = "layers.3.self_attn.q_proj" in name
        return mx.random.normal(array.shape, key=mx.random.key(9)) * mx.std(array) if ours else array

    def dropped(name: str, array: Any) -> Any:
        ours = name.endswith("layers.3.mlp.switch_mlp.up_proj.lora_b")
        return mx.where((mx.arange(8) == 2)[:, None, None], 0, array) if ours else array

    zero_adapter(folders[4], adapter, work / "zero")
    given = {
        8: (base, scaled(adapter, 0.05, work / "weak")),
        6: (base, changed("seed", other_seed)),
        5: (base, changed("dropped", dropped)),
        4: (base, scaled(adapter, 2.0, work / "twice")),
        3: (folders[4], work / "zero"),
    }
    for bits, (source, other) in given.items():
        out = work / str(bits)
        out.mkdir()
        fuse(source, other, [(target(bits, stage.fuse.group_size, stage.fuse.recipe), out)])
    for bits, folder in folders.items():
        shutil.copy(work / str(bits) / "model.safetensors", folder)
        for step in (stage.scores(stage.rung(f"fused-{bits}bit")), stage.survived(stage.rung(f"fused-{bits}bit"))):
            shutil.rmtree(flow.store.path(step), ignore_errors=True)


def test_every_planted_loss_turns_the_gates_red(pocket: PocketRun, tmp_path: Path) -> None:
    """One at each of five production widths: integrity names the module, and recovery says what it found.

    How much of the gain a loss leaves is the model's: a doubled delta may leave most of it, or less than none.
    """
    profile = (PROFILES / "pocket.toml").read_text()
    profile = profile.replace("widths = [4, 5, 6, 8]", "widths = [3, 4, 5, 6, 8]").replace("[2, 3]", "[2]")
    profile = profile.replace('fused-4bit = "candidate"', 'fused-4bit = "production"\nfused-3bit = "production"')
    profile = profile.replace("recovery_floor = 0.95", "recovery_floor = 0.95\ncompare_recipes = false")
    (tmp_path / "mine.toml").write_text(profile)
    other, out = tmp_path / "build", tmp_path / "reports"
    shutil.copytree(pocket.build, other)
    (tmp_path / "work").mkdir()
    code = "import sys, phase8.engine; from pathlib import Path; from suites.unit.test_planted_losses import plant\n"
    code += "plant(sys.argv[1], sys.argv[2], Path(sys.argv[3]))"
    given = [str(path) for path in (tmp_path / "mine.toml", other, tmp_path / "work")]
    ran = subprocess.run([sys.executable, "-c", code, *given], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    ran = judged(given[0], other, out)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    verdicts = {(v.variant, v.gate): v for v in load_run(out).verdicts}
    for bits, (module, said, share) in LOSSES.items():
        integrity, recovery = (verdicts[f"fused-{bits}bit", gate] for gate in ("integrity", "recovery"))
        assert integrity.status == "fail", (bits, integrity)
        named = next(part for part in integrity.detail.split("; ") if part.startswith(f"{module}: "))
        assert said in named, (bits, named)
        assert WHOLE.get(bits, "") in integrity.detail, (bits, integrity.detail)
        if share:
            told = re.search(r"(-?\d+)% of the delta is there", named)
            assert told, (bits, named)
            assert share[0] <= int(told[1]) / 100 <= share[1], (bits, named)
        assert recovery.measured is not None or recovery.status in ("missing", "inconclusive"), (bits, recovery)
    reasons = load_verdict(out).reasons
    assert {f"fused-{bits}bit: integrity" for bits in LOSSES} <= {":".join(r.split(":")[:2]) for r in reasons}
    assert (out / "report.md").read_text(encoding="utf-8").startswith("# No judged width is shown to be safe")
