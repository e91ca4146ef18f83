"""What a run says of the ladder and of survival: the part of ``run.json`` that ``RunRecord.survival`` holds."""

from typing import Literal

from phase8.core.interval import Interval
from phase8.core.values import Frozen
from phase8.record.integrity import ModuleDelta, ModuleIntegrity, Outcome

RecoveryOutcome = Literal[
    "fine", "regressed", "inconclusive", "nothing to recover", "reference lost", "reference not shown"
]
Safety = Literal["safe", "not shown to be safe", "not safe", "not measured"]
SAFETY_WORST_FIRST: tuple[Safety, ...] = ("not safe", "not measured", "not shown to be safe", "safe")


class Estimate(Frozen):
    """A mean or a ratio over ``samples`` values; no interval where all of them are of one topic."""

    value: float
    interval: Interval | None
    samples: int


class Decisions(Frozen):
    """``hits`` of ``prompts``, with the exact interval of the share."""

    hits: int
    prompts: int
    interval: Interval


class TokenSummary(Frozen):
    """Assistant tokens of the held-out rows. NLL and KL(reference || variant) are in nats a token."""

    nll: Estimate
    kl: Estimate
    kl_median: float
    kl_p90: float
    kl_p99: float
    kl_max: float
    same_top: Estimate


class Recovery(Frozen):
    """How much of the fine-tuning's gain in NLL a fused model keeps, and whether that is enough.

    ``share`` is (NLL of the base - NLL of the variant) / (NLL of the base - NLL of the reference), None where the
    reference's own gain may be nothing. Where the reference itself has lost the live adapter's gain, or is not shown to
    have kept it, ``share`` is the reference's, ``gain`` the live adapter's, and nothing is judged by them.
    ``attribution`` is the same with the zero-delta control of that width in place of the base; it judges nothing.
    """

    share: Estimate | None
    floor: float
    gain: Estimate
    outcome: RecoveryOutcome
    attribution: Estimate | None


class RungRecord(Frozen):
    """One variant of the ladder.

    ``calls`` and ``prose`` are tokens inside tool calls and all others. ``read_to`` is how many tokens of a reply the
    decisions were read from at most; None is the whole. ``flips`` are prompts where the variant opens a call and the
    live adapter does not, or the other way round. ``margin`` is the mean of y ln(p / (1 - p)), p the teacher-forced
    probability of the call-opening string, ``drift`` its difference to the live adapter's on the same prompts.
    ``without_number`` tokens got no likelihood that is a number; they count as ``scores.NO_LIKELIHOOD`` nats.
    """

    variant: str
    kind: str
    bits: int | None
    judged: bool
    bits_per_weight: float
    size_bytes: int
    tokens: TokenSummary
    calls: TokenSummary | None
    prose: TokenSummary | None
    canonical: Decisions | None
    held_out: Decisions | None
    read_to: int | None
    flips: Decisions | None
    margin: Estimate
    drift: Estimate
    recovery: Recovery | None
    without_number: int = 0


class RecipeSize(Frozen):
    """The weight files of one width in both recipes, in bytes, read off the shapes of their tensors."""

    bits: int
    preserve_bytes: int
    mlx_lm_bytes: int


class RecipeSizes(Frozen):
    """All widths of a ladder, the widest first."""

    widths: tuple[RecipeSize, ...]


class FolderCheck(Frozen):
    """A fused folder against Q(W + delta): how many modules are as they should be, and the worst that are not.

    ``equal`` modules are so bit for bit, ``rounding`` ones but for what another BLAS, device or dtype rounds otherwise;
    those are among ``faults`` too.
    """

    variant: str
    outcome: Outcome
    modules: int
    equal: int
    rounding: int = 0
    faults: tuple[ModuleIntegrity, ...]
    settings: tuple[str, ...]
    unchanged: bool


class FolderDiagnosis(Frozen):
    """What quantising left of the delta in each module of one rung. Diagnostics, and no verdict."""

    variant: str
    bits: int | None
    modules: tuple[ModuleDelta, ...]


class WidthSafety(Frozen):
    """Whether every gate set for production holds at one judged width by itself, and what that rests on.

    ``bits`` is None for the fused floats, which are wider than all. ``counted`` are the gates that were asked,
    ``against`` those of them that do not hold; both are empty in runs of before they were kept.
    """

    variant: str
    bits: int | None
    safety: Safety
    evidence: str
    counted: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


class Answer(Frozen):
    """The smallest safe width, None where none is; ``line`` says it with its margin and evidence.

    Safe to ship is a width where every gate that the profile sets for production holds, as it does at every wider
    judged width but for gates on cost. ``notes`` are sentences: why narrower widths are not safe, what was counted,
    what was not judged. ``widths`` are the smallest first.
    """

    smallest: int | None
    line: str
    notes: tuple[str, ...]
    widths: tuple[WidthSafety, ...]

    @property
    def safety(self) -> Safety:
        """Of the answer as a whole: safe where there is one, else the worst that stands in its way."""
        found = {width.safety for width in self.widths} - {"safe"}
        if self.smallest is not None:
            return "safe"
        return next((safety for safety in SAFETY_WORST_FIRST if safety in found), "not measured")


class LadderRecord(Frozen):
    """The ladder of one run. ``groups`` are the topics that the rows come from, which intervals are resampled by."""

    reference: str
    reference_reason: str
    rows: int
    tokens: int
    groups: int
    opening: str
    rungs: tuple[RungRecord, ...]
    checks: tuple[FolderCheck, ...] = ()
    diagnoses: tuple[FolderDiagnosis, ...] = ()
    answer: Answer | None = None
    recipe_sizes: tuple[RecipeSize, ...] = ()
