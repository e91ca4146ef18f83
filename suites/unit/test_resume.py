"""A training that is killed goes on where it stopped, and ends as if nothing had happened."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from phase8.core.project import ROOT
from phase8.profile.loading import PROFILES
from suites.unit.pocket_run import PocketRun, harness

SHORT = {
    "iterations = 120": "iterations = 12",
    "checkpoint_every = 40": "checkpoint_every = 4",
    "batch_size = 16": "batch_size = 4",
}


def test_a_killed_training_resumes_and_ends_with_the_same_tensors(pocket: PocketRun, tmp_path: Path) -> None:
    """Killed after its first of three checkpoints, without any chance to clean up."""
    profile = tmp_path / "short.toml"
    text = (PROFILES / "pocket.toml").read_text(encoding="utf-8")
    for old, new in SHORT.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    profile.write_text(text, encoding="utf-8")
    other, whole = tmp_path / "build", tmp_path / "whole"
    for copy in (other, whole):
        shutil.copytree(pocket.build, copy, ignore=shutil.ignore_patterns("adapter", "fused", "replies", "scores"))
    ran = harness("train", "--profile", profile, "--build", whole)
    assert ran.returncode == 0, ran.stderr
    (adapter,) = (whole / "adapter").iterdir()
    command = [sys.executable, "-m", "harness", "train", "--profile", str(profile), "--build", str(other)]
    training = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = other / ".partial" / f"adapter-{adapter.name}" / "state.safetensors"
    while not state.exists() and training.poll() is None:
        time.sleep(0.05)
    training.send_signal(signal.SIGKILL)
    training.wait()
    assert state.exists(), "training ended before it could be killed"
    assert not (other / "adapter" / adapter.name).exists()
    ran = harness("train", "--profile", profile, "--build", other)
    assert ran.returncode == 0, ran.stderr
    for name in ("adapters.safetensors", "adapter_config.json"):
        assert (other / "adapter" / adapter.name / name).read_bytes() == (adapter / name).read_bytes(), name
