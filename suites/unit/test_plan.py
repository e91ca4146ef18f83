"""Plans: named in full before anything is built, and refused where the machine lacks something."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from phase8.core.errors import InvalidInput
from phase8.core.machine import has_fast_quantised_kernels, this_machine
from phase8.core.project import ROOT
from phase8.profile.loading import load
from phase8.runner import fitting
from phase8.runner.fitting import shortfalls
from phase8.runner.plan import leading_to, plan, require_machine, show
from phase8.stages.flow import Flow
from phase8.stages.training import Source
from phase8.survival.stage import SurvivalStage
from suites.unit.machines import pretend
from suites.unit.profiles import flow, located

SCRIPT = """
import json, sys
from pathlib import Path
from phase8.stages.flow import Flow
from phase8.runner.plan import plan
from phase8.profile.loading import load
from phase8.core.store import Store
found = {}
for name in ("pocket", "qwen25-coder-7b", "qwen3-coder-30b", "smollm2"):
    found[name] = [stage.stage for stage in plan(Flow(load(name), Store(Path(sys.argv[1]))))]
print(json.dumps({"stages": found, "mlx": [name for name in ("mlx", "mlx_lm") if name in sys.modules]}))
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The plans of all shipped profiles, made in a fresh process."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("plans") / "build")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_plans_do_not_import_mlx(planned: dict) -> None:
    """A plan is there at once, also where MLX is not."""
    assert planned["mlx"] == []


def test_a_plan_names_every_stage_in_the_order_of_the_flow(planned: dict) -> None:
    """From the mined pool to the replies of every variant, and then the ladder, its reference scored first."""
    rungs = [f"fused-{bits}bit" for bits in (8, 6, 5, 4, 3, 2)]
    assert planned["stages"]["smollm2"] == [
        *("pool", "base", "corpus", "probe", "adapter"),
        *(f"fused {bits} bits" for bits in (8, 6, 5, 4)),
        *("replies base", "replies adapter"),
        *(f"replies fused-{bits}bit" for bits in (8, 6, 5, 4)),
        *("zero", "fused float", "fused 3 bits", "fused 2 bits", "fused 5 bits, mlx-lm"),
        *(f"fused {bits} bits, zero delta" for bits in (8, 6, 5, 4, 3, 2)),
        "sizes",
        *("scores fused-float", "scores base", "scores adapter"),
        *(f"scores {rung}" for rung in (*rungs, "fused-5bit.mlx-lm")),
        *(f"scores zero-{bits}bit" for bits in (8, 6, 5, 4, 3, 2)),
        *(f"survived {rung}" for rung in rungs),
    ]


def test_pockets_base_is_trained_on_its_corpus(planned: dict) -> None:
    """So tokenizer and corpus come before it."""
    assert planned["stages"]["pocket"][:6] == ["pool", "tokenizer", "corpus", "base", "probe", "adapter"]


@pytest.mark.parametrize("name", ["qwen25-coder-7b", "qwen3-coder-30b"])
def test_a_base_from_a_hub_is_given(planned: dict, name: str) -> None:
    """And not fetched to make a plan."""
    assert planned["stages"][name][1].startswith("given: mlx-community/Qwen")


def test_the_production_profile_is_refused_on_a_cpu(tmp_path: Path) -> None:
    """Each missing thing is named, and what to run instead."""
    if has_fast_quantised_kernels():
        pytest.skip("this machine has fast quantised kernels, so the profile may qualify")
    stages = flow(load("qwen3-coder-30b"), tmp_path / "build")
    with pytest.raises(InvalidInput, match="qwen3-coder-30b cannot run on this machine") as caught:
        require_machine(stages)
    message = str(caught.value)
    assert "kernels: needs fast quantised kernels (Metal or CUDA), MLX computes on the cpu here" in message
    assert ("memory: needs 32 GB" in message) == (this_machine().memory_gb < 32)
    assert message.endswith("`smollm2` and `pocket` run on any machine.")


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    """Not one thing a try."""
    needs = "[needs]\nmemory_gb = 1e6\ndisk_gb = 1e6\n\n[prompting]"
    (tmp_path / "tuned").mkdir()
    stages = flow(located(tmp_path, ("[prompting]", needs)), tmp_path / "build")
    lacking = shortfalls(stages, plan(stages))
    assert [line.partition(":")[0] for line in lacking] == ["memory", "disk"]
    assert "needs 1e+06 GB, this machine has" in lacking[0]


def test_a_plan_says_what_is_already_built(tmp_path: Path) -> None:
    """By looking into the store."""
    stages = flow(load("pocket"), tmp_path / "build")
    stages.store.ensure(replace(stages.pool, make=_write_pool))
    assert [stage.state for stage in plan(stages)][:2] == ["built", "to build"]


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    """Its checkpoints are there."""
    stages = flow(load("pocket"), tmp_path / "build")
    (stages.store.root / ".partial" / f"adapter-{stages.adapter.key}").mkdir(parents=True)
    assert {stage.stage: stage.state for stage in plan(stages)}["adapter"] == "interrupted, goes on"


def test_brackets_in_a_profile_are_text(tmp_path: Path) -> None:
    """Nothing a user writes is taken for markup."""
    (tmp_path / "[red]tuned").mkdir()
    found = located(
        tmp_path,
        ('name = "mine"', 'name = "mine"\ndescription = "Mine [/] all mine"'),
        ('path = "tuned"', 'path = "[red]tuned"'),
    )
    console = Console(file=io.StringIO(), width=200)
    show(flow(found, tmp_path / "build"), console)
    assert isinstance(console.file, io.StringIO)
    assert "Mine [/] all mine" in console.file.getvalue()
    assert "given: [red]tuned" in console.file.getvalue()


OWN = """
[base]
kind = "model"
model = "tuned"
parameters = {parameters}

[adapter]
path = "adapter"

[fuse]
widths = [4]
group_size = 64

[prompting]"""
READY_MODEL = '[[models]]\nname = "tuned"\npath = "tuned"\nrole = "production"\n'


def own(folder: Path, parameters: int, *changes: tuple[str, str]) -> Flow:
    """A profile with a base and an adapter made elsewhere, and one width."""
    for name in ("tuned", "adapter"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps({"is": name}))
    found = located(folder, ("[prompting]", OWN.format(parameters=parameters)), (READY_MODEL, ""), *changes)
    return flow(found, folder / "build")


def shown(stages: Flow, sources: list[Source] | None = None) -> tuple[bool, str]:
    """Whether this machine qualifies, and what a plan prints."""
    console = Console(file=io.StringIO(), width=400)
    qualifies = show(stages, console, sources)
    assert isinstance(console.file, io.StringIO)
    return qualifies, console.file.getvalue()


def test_an_estimate_that_is_clearly_over_does_not_qualify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage, needed, available and what to change in one line; the run says the same as the plan."""
    pretend(monkeypatch, "cpu", 25.3)
    stages = own(tmp_path, 60_000_000_000)
    qualifies, printed = shown(stages)
    assert not qualifies
    line = (
        "memory: replies base takes about 241.5 GB (2 more are over too), there are 25.3 GB of memory: "
        "take a smaller model, or use a machine with 242 GB of memory, or correct base.parameters, 60,000,000,000, "
        "if the model has fewer"
    )
    understated = "needs.memory_gb says 2 GB, replies base takes about 241.5 GB: correct it"
    with pytest.raises(InvalidInput) as caught:
        require_machine(stages)
    for told in (line, understated):
        assert f"\n  {told}\n" in printed
        assert f"\n  {told}\n" in str(caught.value)


def test_an_estimate_that_is_a_little_over_is_tight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the run may start: the measurement decides."""
    pretend(monkeypatch, "cpu", 25.3)
    stages = own(tmp_path, 6_400_000_000, ("[prompting]", "[needs]\nmemory_gb = 25.0\ndisk_gb = 5\n\n[prompting]"))
    qualifies, printed = shown(stages)
    assert qualifies
    assert "memory is tight: replies base takes about 27.1 GB, there are 25.3 GB of memory" in printed
    assert "correct it" not in printed
    require_machine(stages)


def test_needs_that_say_less_than_the_estimate_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where this machine has enough."""
    pretend(monkeypatch, "cpu", 512)
    qualifies, printed = shown(own(tmp_path, 60_000_000_000))
    assert qualifies
    assert "needs.memory_gb says 2 GB, replies base takes about 241.5 GB: correct it" in printed
    assert "needs.disk_gb says 1 GB, all stages take about 33.8 GB: correct it" in printed


def test_a_command_asks_only_for_what_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fusing takes little memory, whatever asking the result takes."""
    pretend(monkeypatch, "cpu", 25.3)
    stages = own(tmp_path, 60_000_000_000)
    sources = leading_to(stages, [stages.fused(4)])
    assert [source.key for source in sources] == [stages.base.key, stages.adapter.key, stages.fused(4).key]
    require_machine(stages, sources)
    assert shown(stages, sources)[0]


def test_what_leads_to_a_stage_is_what_it_is_made_from(tmp_path: Path) -> None:
    """In the order of a run."""
    stages = flow(load("pocket"), tmp_path / "build")
    wanted = leading_to(stages, [stages.probe])
    assert wanted == [stages.pool, stages.tokenizer, stages.corpus, stages.base, stages.probe]
    scores = SurvivalStage(stages).scores(SurvivalStage(stages).rung("zero-2bit"))
    names = [stage.stage for stage in plan(stages, leading_to(stages, [scores]))]
    assert names[-3:] == ["fused float", "fused 2 bits, zero delta", "scores zero-2bit"]
    assert "zero" in names
    assert not [name for name in names if name.startswith("replies")]


@pytest.mark.parametrize("name", ["qwen25-coder-7b", "qwen3-coder-30b"])
@pytest.mark.parametrize("memory_gb", [32.0, 34.4])
def test_the_production_profiles_qualify_on_a_mac_with_32_gb(
    name: str, memory_gb: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever GB are meant. What is above the wired limit, and was measured to work, is said to be tight."""
    pretend(monkeypatch, "metal", memory_gb)
    qualifies, printed = shown(flow(load(name), tmp_path / "build"))
    assert qualifies
    tight = name == "qwen3-coder-30b"
    assert ("memory is tight: replies fused-8bit takes about 32.7 GB" in printed) == tight
    assert "correct it" not in printed
    assert "not estimated" not in printed


def test_a_wired_limit_that_is_too_low_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command that is named."""
    pretend(monkeypatch, "metal", 34.4, limit_mb=16384)
    qualifies, printed = shown(flow(load("qwen3-coder-30b"), tmp_path / "build"))
    assert not qualifies
    assert "memory: replies fused-8bit takes about 32.7 GB, there are 17.2" in printed
    assert "raise the limit with `sudo sysctl iogpu.wired_limit_mb=31224`" in printed


@pytest.mark.parametrize("name", ["pocket", "smollm2"])
def test_the_small_profiles_qualify_on_a_small_machine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a remark."""
    pretend(monkeypatch, "cpu", 4.0, disk_gb=4.0)
    qualifies, printed = shown(flow(load(name), tmp_path / "build"))
    assert qualifies
    assert printed.rstrip().endswith("this machine qualifies")


def test_the_disk_of_all_that_is_left_must_be_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built needs no more of it."""
    pretend(monkeypatch, "cpu", 512, disk_gb=20.0)
    needs = "[needs]\nmemory_gb = 241\ndisk_gb = 2\n\n[prompting]"
    stages = own(tmp_path, 30_000_000_000, ("[prompting]", needs), ("widths = [4]", "widths = [4, 5]"))
    qualifies, printed = shown(stages)
    assert not qualifies
    assert (
        f"disk: 2 stages that are left take about 37.5 GB below {tmp_path / 'build'}, the largest is fused 5 bits with "
        "20.6 GB; 20.0 GB are free: free space, name another folder with --build, or take widths out of fuse.widths"
    ) in printed
    assert "needs.disk_gb says 2 GB, all stages take about 37.5 GB: correct it" in printed
    with pytest.raises(InvalidInput, match="disk: 2 stages that are left take about 37.5 GB"):
        require_machine(stages)
    stages.store.ensure(replace(stages.fused(5), disk_gb=0, make=_write_pool))
    assert shown(stages)[0]


@pytest.mark.parametrize("shared", [True, False])
def test_a_download_needs_disk_where_it_goes(shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is built there, or on a disk of its own."""
    pretend(monkeypatch, "metal", 512, disk_gb=3.0)
    monkeypatch.setattr(fitting, "hub_cache", lambda: tmp_path / "hub")
    monkeypatch.setattr(fitting, "_disk", lambda folder: 0 if shared else int(folder.name == "hub"))
    stages = flow(load("qwen25-coder-7b"), tmp_path / "build")
    (download,) = (stage for stage in plan(stages) if stage.state == "to be downloaded")
    assert download.disk_gb == pytest.approx(7.615616512 * 4.5 / 8)
    built = sum(stage.disk_gb or 0 for stage in plan(stages) if stage.state == "to build")
    assert download.disk_gb is not None
    told = [line for line in shortfalls(stages, plan(stages)) if "that are left" in line]
    takes = [line.partition("take about ")[2].partition("; 3.0 GB are free")[0] for line in told]
    together = f"{built + download.disk_gb:.1f} GB below {tmp_path / 'build'}"
    apart = [f"4.3 GB below {tmp_path / 'hub'}", f"{built:.1f} GB below {tmp_path / 'build'}"]
    assert [line.partition(",")[0] for line in takes] == ([together] if shared else apart)


def test_a_size_that_is_not_known_is_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model whose files cannot be read."""
    pretend(monkeypatch, "cpu", 25.3)
    (tmp_path / "tuned").mkdir()
    qualifies, printed = shown(flow(located(tmp_path), tmp_path / "build"))
    assert qualifies
    assert "│          not known │" in printed
    assert "not estimated: replies tuned: the size of a model is not known" in printed


PLANS = """
import sys
from phase8.cli.main import main
build, commands, *profiles = sys.argv[1:]
for name in profiles:
    for command in commands.split():
        code = main([command, "--plan", "--profile", name, "--build", build])
        assert code in (0, 2), code
        print(f"planned {name} {command}")
"""


def test_plans_leave_every_folder_as_it_was(tmp_path: Path) -> None:
    """Of every command, on a checkout of its own, with the build folder elsewhere: there, not there, and with builds.

    Python's own compiled files are left out with ``-B``; nothing else is.
    """
    checkout, home, build = (tmp_path / name for name in ("checkout", "home", "build"))
    for name in ("harness", "data", "fixtures", "suites/phase8"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    profile = own(tmp_path, 60_000_000_000).located.path
    (tmp_path / "tuned" / "model.safetensors").write_bytes(b"weights")
    names = ["pocket", "smollm2", "qwen3-coder-30b", "qwen25-coder-7b", str(profile)]
    environment = os.environ | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(checkout / "harness"),
    }
    every = "run data probe train fuse replies scores"
    for once, commands in (("absent", every), ("empty", "run"), ("with an artefact", "run data")):
        before = entries(tmp_path)
        command = [sys.executable, "-B", "-c", PLANS, str(build), commands, *names]
        ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        planned = len(names) * len(commands.split())
        assert ran.stdout.count("planned ") == planned
        assert ran.stdout.count("this machine ") >= planned - 5
        assert entries(tmp_path) == before, once
        if once == "absent":
            build.mkdir()
        else:
            stages = flow(load("pocket"), build)
            stages.store.ensure(replace(stages.pool, make=_write_pool))


def entries(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below a folder, and the folder, with kind and mode, size and time of change."""
    found = [folder, *folder.rglob("*")]
    return {str(path): ((stat := path.lstat()).st_mode, stat.st_size, stat.st_mtime_ns) for path in found}


def _write_pool(out: Path) -> None:
    (out / "pool.jsonl").write_text("\n")
