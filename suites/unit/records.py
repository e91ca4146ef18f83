"""Small real run records for tests. Every builder takes the fields to change as keyword arguments."""

from typing import Any

from phase8.chat.formats import Call
from phase8.record.run import (
    CorpusRecord,
    Environment,
    Memory,
    PairedLoss,
    ProbeRecord,
    Reply,
    RunRecord,
    Samples,
    SuitePair,
    TrainingRecord,
    VariantRecord,
    Verdict,
)
from phase8.record.view import DECODE, PREFILL, QUERY, TTFT_COLD, TTFT_WARM

_RIGHT = {"tool": "call", "direct": "answer"}
_WRONG = {"tool": "answer", "direct": "call"}
_TEXTS = {
    "call": '```json\n{"name": "run_command", "arguments": {"command": "grep -rn def ."}}\n```',
    "answer": "Dependency injection hands an object what it needs.",
    "malformed": '```json\n{"name": "run_command", "arguments": {\n```',
    "empty": "",
}
_CANONICAL = {
    "view-functions": "tool",
    "user-serializer": "tool",
    "dependency-injection": "direct",
    "async-await": "tool",
    "orm-or-sql": "direct",
}


def environment(**overrides: Any) -> Environment:
    """An Apple machine with MLX on Metal."""
    values: dict[str, Any] = {
        "system": "Darwin 25.1",
        "machine": "arm64",
        "chip": "Apple M1 Max",
        "cores": 10,
        "memory_gb": 32.0,
        "disk_free_gb": 210.0,
        "python": "3.11.9",
        "device": "gpu",
        "blas": "accelerate",
        "compute_dtype": "bfloat16",
        "versions": {"mlx": "0.32.4", "mlx-lm": "0.32.2"},
        "commit": "0123abc",
        "dirty": False,
    }
    return Environment(**{**values, **overrides})


def reply(case: str = "view-functions", label: str = "tool", *, right: bool = True, **overrides: Any) -> Reply:
    """One reply; ``right`` chooses decision and text, which an override may replace."""
    decision = overrides.get("decision") or (_RIGHT if right else _WRONG)[label]
    call = Call(name="run_command", arguments={"command": "grep -rn def ."})
    values: dict[str, Any] = {
        "case": case,
        "suite": "canonical",
        "turn": 1,
        "label": label,
        "query": f"Query of {case}",
        "prompt_tokens": 42,
        "prompt_hash": "0123456789abcdef",
        "text": _TEXTS[decision],
        "tokens": (1, 2, 3),
        "finish": "stop",
        "after_stop": "",
        "calls": (call,) if decision == "call" else (),
        "failure": "bad JSON" if decision == "malformed" else None,
        "decision": decision,
    }
    return Reply(**{**values, **overrides})


def canonical(right: int = 5) -> tuple[Reply, ...]:
    """The five canonical queries, the first ``right`` of them answered right."""
    return tuple(reply(case, label, right=i < right) for i, (case, label) in enumerate(_CANONICAL.items()))


def held_out(right: int = 20, of: int = 20, prefix: str = "held-out") -> tuple[Reply, ...]:
    """Held-out replies, the first ``right`` of them right; every third asks for a direct answer."""
    labels = ["direct" if i % 3 == 2 else "tool" for i in range(of)]
    return tuple(reply(f"{prefix}-{i:02}", label, right=i < right, suite="held-out") for i, label in enumerate(labels))


def probes(right: int = 6, of: int = 6) -> tuple[Reply, ...]:
    """Replies to hard probes, the first ``right`` of them right; every third asks for a direct answer."""
    labels = ["direct" if i % 3 == 2 else "tool" for i in range(of)]
    return tuple(
        reply(
            f"probe-{i:02}", label, right=i < right, suite="probe", category=f"contrast-{label}", group=f"probe-{i:02}"
        )
        for i, label in enumerate(labels)
    )


def loss(**overrides: Any) -> PairedLoss:
    """Two prompts of 201 lost against the adapter, and one gained."""
    values: dict[str, Any] = {
        "reference": "adapter",
        "prompts": 201,
        "suites": (
            SuitePair(suite="held-out", prompts=69, right=67, reference_right=67, lost=0, gained=0),
            SuitePair(suite="probe", prompts=132, right=100, reference_right=101, lost=2, gained=1),
        ),
        "lost": ("probe-00", "probe-01"),
        "gained": ("probe-02",),
        "loss": 0.005,
        "bound": 0.031,
        "bound_method": "exact",
        "p": 0.5,
        "adjusted_p": 1.0,
        "family": 3,
        "outcome": "fine",
    }
    return PairedLoss(**{**values, **overrides})


def samples(*values: float, unit: str = "tokens/s", what: str = "fixed work") -> Samples:
    """Repeated measurements."""
    return Samples(unit=unit, values=values, what=what)


def memory(**overrides: Any) -> Memory:
    """Three different memory numbers."""
    values: dict[str, Any] = {
        "mlx_active_bytes": 19_000_000_000,
        "mlx_peak_bytes": 20_000_000_000,
        "process_peak_bytes": 21_000_000_000,
        "process_peak_kind": "physical footprint",
        "work": "prefill 32, decode 16",
    }
    return Memory(**{**values, **overrides})


def variant(name: str = "fused-5bit", **overrides: Any) -> VariantRecord:
    """A fused 5-bit model with everything measured."""
    values: dict[str, Any] = {
        "name": name,
        "role": "production",
        "kind": "fused",
        "artefact": "a1b2c3",
        "bits": 5,
        "group_size": 64,
        "bits_per_weight": 5.5,
        "size_bytes": 20_100_000_000,
        "replies_on": "shipped weights",
        "replies": canonical() + held_out(),
        "latency": {
            QUERY: samples(2.4, 2.6, 2.8, 2.5, 2.7, unit="s", what="canonical queries"),
            DECODE: samples(100.0, 101.0, 102.0),
            PREFILL: samples(500.0, 510.0, 505.0),
            TTFT_COLD: samples(0.8, 0.9, unit="s"),
            TTFT_WARM: samples(0.1, 0.2, unit="s"),
        },
        "memory": memory(),
    }
    return VariantRecord(**{**values, **overrides})


def verdict(variant: str = "fused-5bit", gate: str = "held-out", status: str = "pass", **overrides: Any) -> Verdict:
    """One gate on one variant."""
    values: dict[str, Any] = {"variant": variant, "role": "production", "gate": gate, "status": status}
    return Verdict(**{**values, **overrides})


def training(**overrides: Any) -> TrainingRecord:
    """A short training whose loss falls."""
    values: dict[str, Any] = {
        "rung": "batch 2 x 16 layers",
        "iterations": 500,
        "trainable_parameters": 1_200_000,
        "modules": ("model.layers.0.self_attn.q_proj", "model.layers.0.mlp.switch_mlp.up_proj"),
        "train_loss": ((10, 2.4), (250, 0.6), (500, 0.2)),
        "valid_loss": ((1, 2.5), (500, 0.3)),
        "tokens_per_second": 160.0,
        "peak_bytes": 22_978_000_000,
    }
    return TrainingRecord(**{**values, **overrides})


def record(**overrides: Any) -> RunRecord:
    """A run of one production variant that passes its gates."""
    values: dict[str, Any] = {
        "profile": "qwen3-coder-30b",
        "profile_description": "Phase 8 on Apple silicon",
        "profile_hash": "f00d",
        "lane": "m1-max-qwen3-coder-30b",
        "started": "2026-02-14T09:00:00Z",
        "seconds": 1800.0,
        "partial": False,
        "environment": environment(),
        "artefacts": {"corpus": "c0ffee", "adapter": "ada9"},
        "corpus": CorpusRecord(train=546, valid=68, test=69, tool_share=0.707, row_tokens=512, longest_row_tokens=480),
        "probe": ProbeRecord(
            rung="batch 2 x 16 layers", peak_bytes=22_978_000_000, ceiling_bytes=28_000_000_000, attempts=()
        ),
        "training": training(),
        "variants": (variant(),),
        "verdicts": (
            verdict(gate="canonical", measured=1.0, limit=1.0, unit="share", samples=5),
            verdict(gate="held-out", measured=1.0, limit=0.95, unit="share", samples=20),
            verdict(gate="memory", measured=20.0, limit=28.0, unit="GB", samples=1),
        ),
    }
    return RunRecord(**{**values, **overrides})
