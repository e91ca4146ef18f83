"""Plans: named in full before anything is built, and refused where the machine lacks something."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import InvalidInput
from harness.machine import has_fast_quantised_kernels, this_machine
from harness.plan import plan, require_machine, shortfalls, show
from harness.profile import ROOT, load
from suites.unit.profiles import flow, located

SCRIPT = """
import json, sys
from pathlib import Path
from harness.flow import Flow
from harness.plan import plan
from harness.profile import load
from harness.store import Store
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
    lacking = shortfalls((found := located(tmp_path, ("[prompting]", needs))).profile, flow(found, tmp_path / "build"))
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


def _write_pool(out: Path) -> None:
    (out / "pool.jsonl").write_text("\n")
