"""Machines that a test pretends to run on."""

from pathlib import Path

import pytest

from phase8.core import machine
from phase8.core.blas import Arithmetic, Blas
from phase8.core.machine import Machine
from phase8.runner import estimate, fitting, plan
from phase8.runner import parallel as asking
from phase8.survival import stage as survival_stage


def pretend(
    monkeypatch: pytest.MonkeyPatch, device: str, memory_gb: float, *, disk_gb: float = 1000.0, limit_mb: int = 0
) -> None:
    """This machine has so much memory and free disk, computes on ``device``, and its ``sysctl`` says so of Metal."""
    here = Machine(
        system="darwin" if device == "metal" else "linux",
        machine="arm64",
        chip="Apple M1 Max",
        cores=10,
        memory_gb=memory_gb,
        device=device,
        python="3.11.0",
    )
    for module in (asking, estimate, fitting, machine, plan, survival_stage):
        monkeypatch.setattr(module, "this_machine", lambda: here)
    monkeypatch.setattr(machine, "device", lambda: device)
    monkeypatch.setattr(machine, "arithmetic", lambda: Arithmetic())
    monkeypatch.setattr(machine, "blas", lambda: Blas(name="pretended", version="", path=None, fast=True))
    for module in (fitting, plan):
        monkeypatch.setattr(module, "disk_free_gb", lambda _: disk_gb)
    monkeypatch.setattr(estimate, "_wired_limit_mb", lambda: limit_mb)


def sysctl(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program of this name that does what the shell script says, first on the path."""
    program = folder / "sysctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
