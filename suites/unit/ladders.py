"""Small ladders for tests. Every builder takes the fields to change as keyword arguments."""

from typing import Any

from phase8.core.interval import Interval
from phase8.record.integrity import ModuleDelta
from phase8.record.ladder import (
    Answer,
    Estimate,
    FolderCheck,
    FolderDiagnosis,
    LadderRecord,
    Recovery,
    RungRecord,
    TokenSummary,
    WidthSafety,
)


def estimate(value: float, low: float | None = None, high: float | None = None) -> Estimate:
    """A value, with an interval where its ends are given."""
    interval = None if low is None or high is None else Interval(low=low, high=high, method="studentised")
    return Estimate(value=value, interval=interval, samples=2000)


def recovery(**overrides: Any) -> Recovery:
    """Nearly all of the gain is left."""
    values: dict[str, Any] = {
        "share": estimate(0.996, 0.989, 1.002),
        "floor": 0.95,
        "gain": estimate(1.7, 1.5, 1.9),
        "outcome": "fine",
        "attribution": estimate(0.998),
    }
    return Recovery(**{**values, **overrides})


def rung(bits: int | None = 5, **overrides: Any) -> RungRecord:
    """One judged width."""
    tokens = TokenSummary(
        nll=estimate(0.6), kl=estimate(0.002), kl_median=0, kl_p90=0.01, kl_p99=0.1, kl_max=1, same_top=estimate(0.99)
    )
    values: dict[str, Any] = {
        "variant": f"fused-{bits}bit",
        "kind": "fused",
        "bits": bits,
        "judged": True,
        "bits_per_weight": 5.5,
        "size_bytes": 90_000_000,
        "tokens": tokens,
        "calls": tokens,
        "prose": None,
        "canonical": None,
        "held_out": None,
        "read_to": None,
        "flips": None,
        "margin": estimate(5.0),
        "drift": estimate(-0.1),
        "recovery": recovery(),
    }
    return RungRecord(**{**values, **overrides})


def ladder(*rungs: RungRecord, **overrides: Any) -> LadderRecord:
    """A ladder of these rungs."""
    values: dict[str, Any] = {
        "reference": "fused-float",
        "reference_reason": "it fits",
        "rows": 69,
        "tokens": 2000,
        "groups": 60,
        "opening": "```json\n",
        "rungs": rungs,
    }
    return LadderRecord(**{**values, **overrides})


def check(**overrides: Any) -> FolderCheck:
    """A folder whose every module is right."""
    values: dict[str, Any] = {
        "variant": "fused-5bit",
        "outcome": "equal",
        "modules": 112,
        "equal": 112,
        "faults": (),
        "settings": (),
        "unchanged": True,
    }
    return FolderCheck(**{**values, **overrides})


def answer(line: str = "Smallest safe width: 5 bits (recovery 99.6 %).") -> Answer:
    """5 bits are safe and 4 are not."""
    widths = (WidthSafety(variant="fused-5bit", bits=5, safety="safe", evidence="recovery 99.6 %"),)
    return Answer(smallest=5, line=line, notes=("4 bits: not safe.",), widths=widths)


def delta(layer: int, name: str, **changes: Any) -> ModuleDelta:
    """One touched module."""
    values: dict[str, Any] = {
        "path": f"model.layers.{layer}.{name}",
        "layer": layer,
        "name": name,
        "experts": None,
        "bits": 4,
        "group_size": 64,
        "weights": 100,
        "delta_rms": 0.001,
        "step_over_delta": 4.0,
        "codes_changed": 0.2,
        "correlation": 0.3,
        "energy": 2.0,
        "delta_share": 1.0,
    }
    return ModuleDelta(**{**values, **changes})


def diagnosis(variant: str = "fused-4bit", *modules: ModuleDelta) -> FolderDiagnosis:
    """One width with these modules, or with one."""
    return FolderDiagnosis(variant=variant, bits=4, modules=modules or (delta(0, "mlp.up_proj"),))
