"""The pytest plugin at the end of a session: how pytest itself ended is in every file."""

import subprocess
import sys
from pathlib import Path

import pytest

from phase8.core.project import ROOT
from phase8.record.files import load_run, load_verdict

SUITE = """
import pytest
from phase8.gates.verdicts import missing
from suites.unit.records import verdict

@pytest.mark.gate("control")
@pytest.mark.parametrize("control_name", ["always-call"])
def test_control(control_name, judged):
    judged(verdict(control_name, "control", role="control"))

@pytest.mark.gate("memory")
def test_memory(variant_name, judged):
    judged(verdict(variant_name, "memory", detail="as planted"))
"""

ENDS = {
    "well": ("", 0, None),
    "a test that owes no verdict fails": (
        "def test_extra():\n    raise RuntimeError\n",
        1,
        "test_extra failed",
    ),
    "a plugin breaks while the session ends": (
        "@pytest.hookimpl(trylast=True)\ndef pytest_sessionfinish():\n    raise RuntimeError('planted')\n",
        3,
        "pytest ended with 3 (an internal error of pytest): the run is not whole",
    ),
    "an interrupt when all is judged": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtestloop():\n    yield\n    raise KeyboardInterrupt\n",
        2,
        "pytest ended with 2 (interrupted): the run is not whole",
    ),
    "a plugin says that tests failed": (
        "def pytest_sessionfinish(session):\n    session.exitstatus = 1\n",
        1,
        "pytest ended with 1, and neither a verdict nor a failed test says why",
    ),
    "a file that cannot be collected": (
        "def test_extra(:\n",
        2,
        "test_extra.py failed",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_how_pytest_ended_is_in_the_record_the_verdict_and_the_last_line(name: str, tmp_path: Path) -> None:
    """Not only in its exit code, which nobody reads afterwards."""
    planted, status, said = ENDS[name]
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_gates.py").write_text(SUITE, encoding="utf-8")
    file = "test_extra.py" if "test_extra" in planted else "conftest.py"
    (tmp_path / "suite" / file).write_text(f"import pytest\n\n{planted}", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "fixtures.plugin", "-q"]
    command += ["--profile", "pocket", "--variant", "adapter", "--build", str(tmp_path / "build")]
    command += ["--reports", str(tmp_path / "reports"), str(tmp_path / "suite")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (tmp_path / "reports" / "verdict.json").is_file(), (ran.returncode, ran.stdout, ran.stderr)
    record, verdict = load_run(tmp_path / "reports"), load_verdict(tmp_path / "reports")
    assert record.pytest_status == status
    assert (verdict.exit_code, ran.returncode != 0) == ((1, True) if said else (0, False))
    last = ran.stdout.strip().splitlines()[-1]
    assert last.startswith("FAIL: " if said else "PASS: ")
    if said:
        assert any(reason.endswith(said) for reason in verdict.reasons)
        assert said in ran.stdout.rpartition("passed")[2].replace("\n", "")
