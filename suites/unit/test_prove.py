"""The proofs of recovery: what is printed and what fails. What they compute is in the tests of scoring and fusing."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness import prove_recovery
from harness.cli import main
from harness.prove_recovery import Known
from suites.unit.ladders import estimate, recovery


def proved(monkeypatch: pytest.MonkeyPatch, *known: Known) -> tuple[int, list[str]]:
    """The exit code and the lines of a proof that found this."""
    monkeypatch.setattr(prove_recovery, "known_shares", lambda _: list(known))
    out = io.StringIO()
    stage: Any = SimpleNamespace(flow=SimpleNamespace(profile=SimpleNamespace(name="mine")))
    code = prove_recovery.prove_recovery(stage, Console(file=out, width=200))
    return code, out.getvalue().splitlines()[1:]


def test_shares_that_agree_are_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the interval of the share that was found."""
    half = Known(0.5, 0.937, recovery(share=estimate(0.9365, 0.92, 0.95), outcome="regressed"))
    assert proved(monkeypatch, half) == (
        0,
        [
            "factor 0.5 : R 0.9370 expected, 0.9365 (0.9200 to 0.9500) found: agrees",
            "recovery: all within 0.01",
        ],
    )


def test_a_share_that_is_off_or_that_nobody_found_fails_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to recover, nothing is proved."""
    off = Known(0.5, 0.937, recovery(share=estimate(0.9)))
    none = Known(1.0, 1.0, recovery(share=None, outcome="nothing to recover", attribution=None))
    code, lines = proved(monkeypatch, off, none)
    assert code == 1
    assert lines[0].endswith("R 0.9370 expected, 0.9000 found: DIFFERS")
    assert lines[1].endswith("R 1.0000 expected, nothing to recover found: DIFFERS")
    assert lines[2] == "recovery: 2 of 2 DIFFER"


@pytest.mark.parametrize("what", ["recovery", "fuse"])
def test_a_profile_without_what_is_proved_is_refused(
    what: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, before anything is built."""
    profile = tmp_path / "mine.toml"
    profile.write_text(
        'name = "mine"\n[prompting]\nformat = "fenced"\nstop_sequences = ["x"]\nmax_tokens = 8\n'
        '[[models]]\nname = "a"\npath = "a"\nrole = "candidate"\n'
    )
    assert main(["prove", what, "--profile", str(profile), "--build", str(tmp_path / "build")]) == 2
    assert "is missing" in capsys.readouterr().err
