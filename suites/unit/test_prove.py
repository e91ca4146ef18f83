"""The proofs of recovery and rounding: what is printed and what fails. What they compute is tested beside it."""

import io
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from phase8.cli.main import main
from phase8.proofs import recovery as prove_recovery
from phase8.proofs import rounding as prove_rounding
from phase8.proofs.recovery import Known
from phase8.proofs.rounding import Judged, Model, Setting
from phase8.record.integrity import FolderIntegrity, ModuleIntegrity
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


def folder(*modules: tuple[str, str]) -> FolderIntegrity:
    """A folder whose modules have these outcomes."""
    found = [
        ModuleIntegrity(path=path, layer=0, name=path, experts=None, touched=True, outcome=outcome, reason="off")  # ty: ignore[invalid-argument-type]
        for path, outcome in modules
    ]
    return FolderIntegrity(base_key="b", adapter_key="a", folder_key="f", modules=tuple(found))


def rounded(monkeypatch: pytest.MonkeyPatch, sound: FolderIntegrity, lost: FolderIntegrity) -> tuple[int, list[str]]:
    """The exit code and the rows of a proof of rounding that judged these, with one delta halved in module q."""
    from phase8.engine.losses import Loss

    model = Model("small", Path(), Path(), Path(), [Loss("delta halved", "q")], "float32")
    setting = Setting("MLX's own BLAS", None)
    monkeypatch.setattr(prove_rounding, "_settings", lambda: ([setting], ["OpenBLAS"]))
    monkeypatch.setattr(prove_rounding, "_models", lambda *_: [model])
    monkeypatch.setattr(prove_rounding, "_judged", lambda *_: [Judged(model, setting, 4, sound, lost)])
    out = io.StringIO()
    store = SimpleNamespace(workspace=lambda _: nullcontext(Path()))
    flow: Any = SimpleNamespace(store=store)
    code = prove_rounding.prove_rounding(flow, Console(file=out, width=300))
    return code, out.getvalue().splitlines()[1:]


def test_rounding_that_is_told_from_loss_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not here is said by name."""
    code, lines = rounded(
        monkeypatch, folder(("q", "rounding"), ("k", "equal")), folder(("q", "differs"), ("k", "equal"))
    )
    assert code == 0
    assert lines == [
        "OpenBLAS: not here",
        "small | MLX's own BLAS | 4 bits | 0 codes, 0 steps | 0 scales, 0 ulps | rounding | 1 losses named",
        "rounding: 1 sound folders, 1 of them not bit for bit, 1 planted losses: every sound folder is right, "
        "every loss is named",
    ]


def test_a_sound_folder_that_is_red_or_a_loss_that_nobody_names_fails_the_proof(
    monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """And so does a module that is blamed for nothing."""
    good, lost = folder(("q", "equal"), ("k", "equal")), folder(("q", "differs"), ("k", "equal"))
    for sound, other, said in [
        (folder(("q", "differs"), ("k", "equal")), lost, "DIFFERS: q: off | 1 losses named"),
        (good, folder(("q", "rounding"), ("k", "equal")), "NOT NAMED: delta halved in q"),
        (good, folder(("q", "differs"), ("k", "differs")), "NOT NAMED: nothing planted in k, and yet differs"),
    ]:
        with subtests.test(said=said):
            code, lines = rounded(monkeypatch, sound, other)
            assert code == 1
            assert lines[1].endswith(said)
            assert lines[2].endswith("1 of 1 WRONG")


@pytest.mark.parametrize("what", ["recovery", "fuse", "rounding"])
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
