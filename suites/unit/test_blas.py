"""What products are computed with is known, and keys hold it."""

import json
import os
import subprocess
import sys

import pytest

from phase8.core.blas import Arithmetic, arithmetic, blas, limited_to
from phase8.core.machine import numeric_environment
from phase8.core.project import ROOT

_KEY = "import json; from phase8.core.machine import numeric_environment; print(json.dumps(numeric_environment()))"
_NO_SETTINGS = {k: v for k, v in os.environ.items() if not k.startswith(("MKL_", "OMP_", "OPENBLAS_", "PHASE8_"))}


def environment(**variables: str) -> dict[str, str]:
    """What a process with these environment variables writes into its keys."""
    command = [sys.executable, "-c", _KEY]
    ran = subprocess.run(command, cwd=ROOT, env=_NO_SETTINGS | variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.skipif(blas().name != "MKL", reason="MKL's own settings")
def test_another_setting_for_reproducible_products_is_another_key() -> None:
    """Its kernels add in another order, on every processor."""
    plain, compatible = environment(), environment(MKL_CBWR="COMPATIBLE")
    assert plain["products"] != compatible["products"]
    assert plain["instructions"] != compatible["instructions"]


@pytest.mark.skipif(blas().name != "MKL", reason="MKL's own settings")
def test_a_key_names_the_instructions_that_are_used_and_not_those_that_were_asked_for() -> None:
    """Some processors make MKL ignore the variable: then the products are the same, and so is the key."""
    plain, asked = environment(), environment(MKL_ENABLE_INSTRUCTIONS="SSE4_2")
    assert (plain["products"] == asked["products"]) == (plain["instructions"] == asked["instructions"])


@pytest.mark.skipif(blas().path is None, reason="MLX brings its own BLAS")
def test_the_number_of_threads_is_in_the_key() -> None:
    """Work is divided among them, and sums with it."""
    one, two = (environment(OMP_NUM_THREADS=n, MKL_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n) for n in ("1", "2"))
    assert (one["threads"], two["threads"]) == ("1", "2")
    assert one["products"] == two["products"]


@pytest.mark.skipif(blas().path is None, reason="MLX brings its own BLAS")
def test_a_process_with_fewer_threads_finds_the_artefacts_of_its_run() -> None:
    """It does a part of the run's work, so that its keys are the run's."""
    assert environment(**limited_to(1)) == numeric_environment()


def test_mlx_own_blas_can_be_asked_for() -> None:
    """It is what a plain install of MLX computes with; no product is asked of a library then."""
    found = environment(PHASE8_BLAS="mlx")
    assert (found["blas"].partition(" (")[0].startswith("reference BLAS")) or blas().path is None
    assert found["products"] == "" or blas().path is None


def test_a_blas_of_an_unknown_name_is_refused() -> None:
    """One line that names the choices."""
    command = [sys.executable, "-m", "harness", "doctor"]
    variables = os.environ | {"PHASE8_BLAS": "fastest"}
    ran = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if blas().name in ("Accelerate", "cuBLAS"):
        return
    assert ran.returncode == 2
    assert "PHASE8_BLAS: 'fastest' is not one of openblas, mkl, mlx" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_products_are_the_same_whenever_they_are_asked_for() -> None:
    """A hash that moved by itself would find no artefact again."""
    assert isinstance(arithmetic(), Arithmetic)
    found = {arithmetic.__wrapped__().products for _ in range(5)}
    assert found == {arithmetic().products}


@pytest.mark.skipif(blas().path is None, reason="MLX brings its own BLAS")
def test_a_tiny_model_trains_alike_whatever_threads_the_run_has() -> None:
    """It keeps to one, so that its adapter is the same; what is fused and asked with more threads is not."""
    code = (
        "from pathlib import Path; from phase8.stages.flow import Flow; from phase8.profile.loading import load\n"
        "from phase8.core.store import Store; flow = Flow(load('pocket'), Store(Path('nowhere')))\n"
        "print(flow.base.key, flow.adapter.key, flow.fused(5).key)"
    )
    keys = []
    for threads in ("1", "2"):
        variables = _NO_SETTINGS | dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
        )
        command = [sys.executable, "-c", code]
        ran = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
        keys.append(ran.stdout.split())
    (base, adapter, fused), other = keys
    assert other[:2] == [base, adapter]
    assert other[2] != fused
