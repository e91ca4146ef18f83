"""The sections of a profile that say what is measured, and the limits: queries, timing, audit, budgets, gate."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from phase8.core.values import Frozen
from phase8.profile.terms import QUANTITIES, ChanceGate, PositiveFloat, Quantity, Share, VariantLimits, VariantName


class Queries(Frozen):
    """The hand-written queries, JSONL below ``data/cases/`` or beside the profile; no ``probes``, no hard probes.

    ``probe_tokens`` is how far replies to probes are read where that is less than ``prompting.max_tokens``: one that
    opens a call by then counts as a call. It saves slow machines most of the time that probes take. ``second_turns``
    is how many held-out tool queries are asked on, with the tool's result, at most.
    """

    canonical: str = "canonical.jsonl"
    probes: str | None = None
    probe_tokens: PositiveInt | None = None
    second_turns: PositiveInt = 16


class LatencyWork(Frozen):
    """Fixed work that gives rates: tokens, and rounds of it."""

    prefill_tokens: PositiveInt = 32
    decode_tokens: Annotated[int, Field(ge=2)] = 16
    rounds: PositiveInt = 5


class Audit(Frozen):
    """Which prompts are written again in other ways, to see which of them always get the same tokens.

    All canonical queries, and ``held_out`` first turns evenly spread over the held-out split. ``variants`` are the
    production ones if none is named; an empty list audits nothing, and the run says so. Of each reply the odds at its
    first ``positions`` tokens are kept: the ``likeliest`` tokens one by one, all others together.
    """

    variants: tuple[VariantName, ...] | None = None
    held_out: Annotated[int, Field(ge=0)] = 2
    positions: PositiveInt = 16
    likeliest: PositiveInt = 8


class LatencyBudget(Frozen):
    """Absolute limits hold on the reference machine, the ratio to ``relative_to`` elsewhere."""

    reference_machine: str | None = None
    seconds_per_query: VariantLimits = {}
    relative_to: VariantName | None = None
    max_decode_ratio: PositiveFloat | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> "LatencyBudget":
        if (self.relative_to is None) != (self.max_decode_ratio is None):
            raise ValueError("relative_to and max_decode_ratio go together: set both or neither")
        if self.seconds_per_query and not self.reference_machine:
            raise ValueError("seconds_per_query needs reference_machine, the chip the limits were set on")
        return self


class MemoryBudget(Frozen):
    """Ceilings in GB (1e9 bytes) on the number named by ``judged``."""

    judged: Literal["mlx_active", "mlx_peak", "process_peak"]
    ceiling_gb: PositiveFloat
    variants_gb: VariantLimits = {}


class Budgets(Frozen):
    """The limits of the gates. Shares are of prompts, between 0 and 1.

    ``probes`` turns the hard probes from a report into a gate. ``deterministic`` does so with the determinism audit: it
    is the share of audited prompts that must get the same tokens in every way. ``max_loss`` is how much of the live
    adapter's accuracy a variant may lose. ``inconclusive_blocks`` names the gates that chance plays in whose
    inconclusive verdict ends a run with exit code 3.
    """

    canonical: Share = 1.0
    held_out: Share = 0.9
    max_over_calls: Share = 0.15
    max_under_calls: Share = 0.1
    second_turn: Share = 0.9
    terminated: Share = 1.0
    probes: Share | None = None
    deterministic: Share | None = None
    max_loss: Share = 0.05
    inconclusive_blocks: tuple[ChanceGate, ...] = ("decode ratio", "recovery")
    latency: LatencyBudget = LatencyBudget()
    memory: MemoryBudget | None = None


class BlockWork(Frozen):
    """How baseline and change are timed against each other by the merge gate, and how much slower is allowed.

    ``limit`` is a ratio: 1.05 allows 5 % more seconds. A block stays ``seconds`` with each of ``quantities``; after
    ``blocks`` of them what is not decided is measured once more as long. ``variants`` are the production ones if none
    is named; an empty list times nothing, and the gate says so.
    """

    limit: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.05
    blocks: Annotated[int, Field(ge=6)] = 8
    seconds: PositiveFloat = 0.5
    quantities: Annotated[tuple[Quantity, ...], Field(min_length=1)] = QUANTITIES
    variants: tuple[VariantName, ...] | None = None


class GateLimits(Frozen):
    """What a change may cost against the accepted baseline; models are frozen, so size hardly moves.

    Growth is a share of the baseline's number: 0.05 is 5 % more. ``max_runtime_kl`` is in nats, at any token,
    between two runs of the same artefact in the same lane; ``max_drift_kl`` likewise between two artefacts of the same
    variant, which is judged only where it is set: a model that was trained anew may answer as well with other odds, one
    that was merely fused or copied again may not. ``inconclusive_blocks`` says whether a loss that can neither
    be shown nor ruled out ends with 3.
    """

    max_memory_growth: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    max_size_growth: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    max_runtime_kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-5
    max_drift_kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    inconclusive_blocks: bool = True
    latency: BlockWork = BlockWork()


class Needs(Frozen):
    """What a machine must have to run this profile."""

    memory_gb: PositiveFloat = 2.0
    disk_gb: PositiveFloat = 1.0
    fast_quantised_kernels: bool = False
