"""The ladder's numbers as text, the same in Markdown and in HTML, and what each column means. Pure."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from phase8.core.interval import Interval
from phase8.record.ladder import Decisions, Estimate, LadderRecord, RecipeSize, Recovery, RungRecord, TokenSummary
from phase8.report.columns import NOT_MEASURED, number, size


class LadderColumn(NamedTuple):
    """One column of the ladder."""

    title: str
    cell: Callable[[RungRecord], str]
    meaning: str


def estimate(found: Estimate | None) -> str:
    """A value, its interval and the number of values."""
    if found is None:
        return NOT_MEASURED
    bounds = f" ({number(found.interval.low)} to {number(found.interval.high)})" if found.interval else ""
    return f"{number(found.value)}{bounds} (n={found.samples})"


def share(found: Estimate | None) -> str:
    """The same in percent."""
    if found is None:
        return NOT_MEASURED
    return f"{percent(found.value)}{percents(found.interval)} (n={found.samples})"


def decisions(found: Decisions | None) -> str:
    """Hits of prompts with the exact interval of the share."""
    if found is None:
        return NOT_MEASURED
    return f"{found.hits}/{found.prompts}{percents(found.interval)}"


def recovery(found: Recovery | None) -> str:
    """The share of the gain that is left, and the verdict on it; empty where it is not asked."""
    if found is None:
        return ""
    if found.share is None or found.outcome.startswith("reference"):  # then the share is the reference's
        return found.outcome
    return f"{share(found.share)}, {found.outcome}"


def percent(value: float) -> str:
    """A share with one digit behind the point."""
    return f"{value * 100:.1f} %"


def signed(found: Estimate) -> str:
    """A difference with its sign."""
    return ("+" if found.value > 0 else "") + estimate(found)


def quantiles(found: TokenSummary) -> str:
    """Median, 90th and 99th percentile and maximum of KL."""
    return " / ".join(number(value) for value in (found.kl_median, found.kl_p90, found.kl_p99, found.kl_max))


def percents(found: Interval | None) -> str:
    """An interval of shares in brackets; empty without one."""
    return f" ({found.low * 100:.1f} to {found.high * 100:.1f} %)" if found else ""


def _attribution(rung: RungRecord) -> str:
    found = rung.recovery.attribution if rung.recovery else None
    return share(found) if found else ""


def _nll(rung: RungRecord) -> str:
    lost = f", {rung.without_number} tokens without a number" if rung.without_number else ""
    return estimate(rung.tokens.nll) + lost


def _of(part: Literal["calls", "prose"], rung: RungRecord, name: Literal["kl", "same_top"]) -> Estimate | None:
    found = getattr(rung, part)
    return getattr(found, name) if found else None


LADDER = (
    LadderColumn(
        "variant",
        lambda r: r.variant,
        "The rung: zero-Kbit is the zero-delta control, the dequantised base "
        "through the same recipe, width and group size.",
    ),
    LadderColumn("bits/weight", lambda r: f"{r.bits_per_weight:.2f}", "Bits of storage a weight."),
    LadderColumn("size", lambda r: size(r.size_bytes), "The model's weights on disk."),
    LadderColumn(
        "canonical",
        lambda r: decisions(r.canonical),
        "Right decisions on the canonical queries; exact "
        "95 % interval. Rungs that are not judged were read only as far as a call's opening shows.",
    ),
    LadderColumn("held-out", lambda r: decisions(r.held_out), "Right decisions on first held-out turns, likewise."),
    LadderColumn(
        "flips",
        lambda r: decisions(r.flips),
        "Canonical and held-out prompts where this rung opens a call "
        "and the live adapter does not, or the other way round.",
    ),
    LadderColumn(
        "NLL",
        _nll,
        "Negative log-likelihood of held-out assistant tokens, nats each, "
        "with the 95 % interval of a bootstrap by topic; one without a number counts as 87.3.",
    ),
    LadderColumn(
        "recovery",
        lambda r: recovery(r.recovery),
        "(NLL of the base - this NLL) / (NLL of the base - NLL of "
        "the reference): the share of the fine-tuning's gain that is left.",
    ),
    LadderColumn(
        "attribution",
        _attribution,
        "The same with the zero-delta control's NLL in place of the base's: what "
        "is left of the adapter, whatever happened to the model. No verdict.",
    ),
    LadderColumn(
        "KL mean", lambda r: estimate(r.tokens.kl), "KL(reference || this rung), nats a token, full vocabulary."
    ),
    LadderColumn("KL median / 90 % / 99 % / max", lambda r: quantiles(r.tokens), "The same, over tokens."),
    LadderColumn("KL in calls", lambda r: estimate(_of("calls", r, "kl")), "Mean KL of tokens inside tool calls."),
    LadderColumn("KL in prose", lambda r: estimate(_of("prose", r, "kl")), "Mean KL of all other tokens."),
    LadderColumn(
        "same top token",
        lambda r: share(r.tokens.same_top),
        "Tokens at which this rung and the reference find the same token likeliest.",
    ),
    LadderColumn("same top in calls", lambda r: share(_of("calls", r, "same_top")), "The same, inside tool calls."),
    LadderColumn("same top in prose", lambda r: share(_of("prose", r, "same_top")), "The same, of all other tokens."),
    LadderColumn(
        "margin",
        lambda r: estimate(r.margin),
        "Mean of y ln(p / (1 - p)): p is the probability of the "
        "call-opening string after the prompt, y is 1 where a call is right and -1 where it is not.",
    ),
    LadderColumn("drift", lambda r: signed(r.drift), "The margin less the live adapter's on the same prompts."),
)


def about(ladder: LadderRecord) -> str:
    """What was scored, and what it is compared with."""
    return (
        f"{ladder.tokens:,} assistant tokens of {ladder.rows} held-out rows from {ladder.groups} topics, each token "
        f"counting once. Reference: {ladder.reference} ({ladder.reference_reason}). "
        f"A call opens with {ladder.opening!r}."
    )


class RecipeRow(NamedTuple):
    """One width in both recipes: sizes and how far ``preserve`` is from the other; KL and recovery where scored."""

    bits: str
    preserve: str
    mlx_lm: str
    difference: str
    kl: str
    recovered: str


RECIPE_TITLES = (
    "bits",
    "preserve",
    "mlx-lm",
    "preserve against mlx-lm",
    "mean KL, preserve / mlx-lm",
    "recovery, likewise",
)


def recipes(ladder: LadderRecord) -> tuple[RecipeRow, ...]:
    """What recipe ``preserve`` gains over ``mlx-lm`` in size at every width, and in KL at the one fused in both."""
    named = {rung.variant: rung for rung in ladder.rungs}
    return tuple(_recipe_row(found, named) for found in ladder.recipe_sizes)


def _recipe_row(found: RecipeSize, named: Mapping[str, RungRecord]) -> RecipeRow:
    own, name = named.get(f"fused-{found.bits}bit"), f"fused-{found.bits}bit"
    pair = [named.get(f"{name}.{recipe}", own) for recipe in ("preserve", "mlx-lm")]
    both = [rung for rung in pair if rung] if pair[0] is not pair[1] else []
    told = ("not scored", "not scored")
    if len(both) == 2:
        shares = [rung.recovery.share if rung.recovery else None for rung in both]
        told = (
            " / ".join(number(rung.tokens.kl.value) for rung in both),
            " / ".join(percent(one.value) if one else NOT_MEASURED for one in shares),
        )
    gap, stock = found.preserve_bytes - found.mlx_lm_bytes, found.mlx_lm_bytes
    difference = f"{'-' if gap < 0 else '+'}{size(abs(gap))} ({gap / stock:+.1%})"
    return RecipeRow(str(found.bits), size(found.preserve_bytes), size(stock), difference, *told)
