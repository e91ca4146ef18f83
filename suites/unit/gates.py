"""A whole run of ``pocket`` for tests of the merge gate, and ways to make it worse."""

from functools import cache
from typing import Any

from phase8.core.artefact import digest
from phase8.profile import loading
from phase8.record.ab_blocks import BlockedLatency, QuantityVerdict
from phase8.record.run import Memory, Reply, Role, RunRecord, VariantRecord
from phase8.regression.validity import owed
from suites.unit import records

POCKET = loading.load("pocket")
PROFILE = POCKET.profile
HASH = digest(PROFILE.model_dump(mode="json"))[:16]
LANE = "pocket--linux-x86_64-test-2c-16gb-cpu-mkl"
COMMIT = "0123456789" * 4
PRODUCTION = "fused-5bit"


def whole_run(**overrides: Any) -> RunRecord:
    """Every variant and gate of ``pocket``, all of it right: 5 canonical queries, 60 held-out prompts, 40 probes."""
    names = PROFILE.variant_names()
    values: dict[str, Any] = {
        "profile": "pocket",
        "profile_hash": HASH,
        "lane": LANE,
        "environment": records.environment(commit=COMMIT),
        "artefacts": {name: f"key-{name}" for name in names},
        "variants": tuple(_variant(name) for name in names),
        "verdicts": tuple(_verdict(name, gate) for name, gate in sorted(owed(PROFILE))),
    }
    return records.record(**{**values, **overrides})


def _role(name: str) -> Role:
    return PROFILE.role(name) if name in PROFILE.variant_names() else "control"


@cache
def _right() -> tuple[Reply, ...]:
    """Replies that are all right; made once, since runs are built when tests are collected."""
    return records.canonical() + records.held_out(60, 60) + records.probes(40, 40)


def _variant(name: str) -> VariantRecord:
    kept = records.variant().latency
    memory = Memory(
        mlx_active_bytes=10**8,
        mlx_peak_bytes=10**8,
        process_peak_bytes=3 * 10**8,
        process_peak_kind="peak resident set",
        work="load",
    )
    return records.variant(
        name, role=_role(name), artefact=f"key-{name}", replies=_right(), size_bytes=10**6, memory=memory, latency=kept
    )


def _verdict(name: str, gate: str):
    return records.verdict(name, gate, "pass", role=_role(name))


def with_variant(run: RunRecord, name: str, **changes: Any) -> RunRecord:
    """The run with one variant changed."""
    made = tuple(v.model_copy(update=changes) if v.name == name else v for v in run.variants)
    return run.model_copy(update={"variants": made})


def with_replies(run: RunRecord, name: str, change: dict[str, dict[str, Any]], **changes: Any) -> RunRecord:
    """The run with the replies to the named cases of one variant changed."""
    old = next(v.replies for v in run.variants if v.name == name)
    return with_variant(run, name, replies=tuple(r.model_copy(update=change.get(r.case, {})) for r in old), **changes)


def wrong(reply: Reply) -> dict[str, Any]:
    """What makes a reply a wrong one."""
    calls = reply.label == "direct"
    return {"decision": "call" if calls else "answer", "text": "WRONG", "tokens": (9,), "calls": ()}


def losing(run: RunRecord, name: str, count: int) -> RunRecord:
    """The run in which one variant, of another artefact, gets ``count`` held-out prompts wrong."""
    replies = [r for v in run.variants if v.name == name for r in v.replies if r.suite == "held-out"][:count]
    made = with_replies(run, name, {r.case: wrong(r) for r in replies}, artefact="key-other")
    return made.model_copy(update={"artefacts": {**made.artefacts, "other": "key-other"}})


def timed(variant: str = PRODUCTION, **changes: Any) -> BlockedLatency:
    """What blocks say of a variant that decodes 7 % slower and loads as fast as before."""
    bounds: dict[str, Any] = {
        "baseline_s": 1.0,
        "level": 0.025,
        "blocks": 8,
        "p": 0.001,
        "adjusted_p": 0.01,
        "family": 2,
    }
    slower = QuantityVerdict(
        quantity="token_s", change_s=1.07, ratio=1.07, low=1.06, high=1.08, outcome="regressed", **bounds
    )
    same = QuantityVerdict(quantity="load_s", change_s=1.0, ratio=1.0, low=0.98, high=1.02, outcome="fine", **bounds)
    values: dict[str, Any] = {"quantities": (slower, same), "blocks": ()}
    return BlockedLatency(variant=variant, limit=1.05, **{**values, **changes})
