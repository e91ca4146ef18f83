"""The gates on timed and measured work: kernels, latency, memory. Values and limits in, verdicts out. Pure."""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean

from phase8.core.machine import GB
from phase8.gates.verdicts import decided, missing, not_applicable, status_of
from phase8.profile.limits import Budgets
from phase8.profile.terms import Role
from phase8.record.run import Agreement, Divergence, Environment, Memory, Production, Reply, Samples, Verdict
from phase8.stats.proportions import ratio_of_medians

TIE_NATS = 0.001  # SmolLM2's logits differ by up to 0.00015 between its quantised kernels and float32 BLAS


def agreement(
    replies: Sequence[Reply], timed: Mapping[str, Sequence[int]], diverge: Callable[[Reply], Divergence]
) -> Agreement:
    """Compare the judged replies with those that the shipped kernels gave to the same canonical queries.

    Where nothing was timed, nothing is compared.

    Args:
        replies: what discrimination was judged on.
        timed: the tokens of the timed reply for each canonical case id.
        diverge: looks closer at a judged reply whose timed tokens are others.
    """
    judged = {reply.case: reply for reply in replies if reply.suite == "canonical"}
    if not timed:
        return Agreement(same=0, compared=0)
    others = [reply for case, reply in judged.items() if case in timed and tuple(timed[case]) != reply.tokens]
    unpaired = tuple(sorted(judged.keys() ^ timed.keys()))
    compared = len(judged.keys() | timed.keys())
    return Agreement(
        same=compared - len(others) - len(unpaired),
        compared=compared,
        divergences=tuple(diverge(reply) for reply in others),
        unpaired=unpaired,
    )


def kernel_agreement(variant: str, role: Role, found: Agreement | None) -> Verdict:
    """The judged replies are token for token those of the shipped kernels, or part at a tie and decide alike.

    Two kernels add the same products in different orders. Where two tokens are as likely as
    each other to within that rounding, either may come first; anywhere else it is a fault.
    """
    gate = "kernel agreement"
    if found is None or not found.compared:
        return missing(variant, role, gate, "no timed reply to compare with")
    ties = [d for d in found.divergences if _is_tie(d) and d.same_decision]
    faults = [d for d in found.divergences if d not in ties]
    share = (found.same + len(ties)) / found.compared
    parts = [f"{found.same} of {found.compared} canonical replies are token for token the same on the shipped kernels"]
    for divergence in found.divergences:
        gap = "a gap that is no number" if divergence.gap is None else f"{divergence.gap:.2g} nats"
        kind = "a tie" if _is_tie(divergence) else "no tie"
        decision = "" if divergence.same_decision else ", and the decision is another"
        parts.append(f"{divergence.case} parts at token {divergence.position} ({gap}, {kind})" + decision)
    parts += [f"{case} has no counterpart" for case in found.unpaired]
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status_of(role, decided(share == 1.0)),
        as_production=decided(share == 1.0),
        measured=share,
        limit=1.0,
        unit="share",
        samples=found.compared,
        detail="; ".join(parts),
        failures=(*(d.case for d in faults), *found.unpaired),
    )


def _is_tie(divergence: Divergence) -> bool:
    return divergence.gap is not None and abs(divergence.gap) <= TIE_NATS


def seconds_a_query(
    variant: str, role: Role, latency: dict[str, Samples], budgets: Budgets, environment: Environment
) -> Verdict:
    """Mean seconds a canonical query end to end, against the limit set on the reference machine."""
    gate, budget = "seconds a query", budgets.latency
    limit = budget.seconds_per_query.get(variant)
    if limit is None:
        return not_applicable(variant, role, gate, "the profile sets no absolute limit for this variant")
    if environment.chip != budget.reference_machine:
        why = f"the limit was set on {budget.reference_machine}; this is {environment.chip}"
        return not_applicable(variant, role, gate, why)
    if "query_s" not in latency:
        return missing(variant, role, gate, "no canonical query was timed")
    values = latency["query_s"].values
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status_of(role, decided(mean(values) <= limit)),
        as_production=decided(mean(values) <= limit),
        measured=mean(values),
        limit=limit,
        unit="s",
        samples=len(values),
        detail=f"mean of {len(values)} canonical queries {mean(values):.2f} s, limit {limit:.2f} s",
    )


def decode_ratio(
    variant: str, role: Role, latency: dict[str, Samples], reference: dict[str, Samples] | None, budgets: Budgets
) -> Verdict:
    """Median seconds a decoded token over that of the variant the profile compares with, in the same run.

    Fails where the whole 95 % interval of the ratio is over the limit, passes where none of it is.
    """
    gate, budget = "decode ratio", budgets.latency
    if budget.relative_to is None or budget.max_decode_ratio is None:
        return not_applicable(variant, role, gate, "the profile compares with no variant")
    if variant == budget.relative_to:
        return not_applicable(variant, role, gate, "this is the variant the others are compared with")
    if reference is None:
        why = f"{budget.relative_to} was left out of this partial run"
        return not_applicable(variant, role, gate, why, set_for_production=True)
    if "token_s" not in latency or "token_s" not in reference:
        return missing(variant, role, gate, "the fixed work was not timed")
    mine, other = latency["token_s"].values, reference["token_s"].values
    if min(len(mine), len(other)) < 2:
        return missing(variant, role, gate, f"{len(mine)} and {len(other)} tokens were timed; an interval needs 2")
    ratio, interval = ratio_of_medians(mine, other)
    limit = budget.max_decode_ratio
    production: Production = "pass" if interval.high <= limit else "fail" if interval.low > limit else "inconclusive"
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status_of(role, production),
        as_production=production,
        measured=ratio,
        limit=limit,
        unit=f"x {budget.relative_to}",
        samples=len(mine),
        interval=interval,
        blocks=gate in budgets.inconclusive_blocks,
        detail=f"median s/token is {ratio:.2f} ({interval.low:.2f}-{interval.high:.2f}) x {budget.relative_to}, "
        f"limit {limit:.2f}",
    )


def memory(variant: str, role: Role, found: Memory | None, budgets: Budgets) -> Verdict:
    """The judged one of three memory numbers against the variant's ceiling."""
    budget = budgets.memory
    if budget is None:
        return not_applicable(variant, role, "memory", "the profile sets no ceiling")
    if found is None or not getattr(found, f"{budget.judged}_bytes"):
        return missing(variant, role, "memory", "memory was not measured")
    limit = budget.variants_gb.get(variant, budget.ceiling_gb)
    used = getattr(found, f"{budget.judged}_bytes") / GB
    name = found.process_peak_kind if budget.judged == "process_peak" else budget.judged.replace("_", " ")
    return Verdict(
        variant=variant,
        role=role,
        gate="memory",
        status=status_of(role, decided(used <= limit)),
        as_production=decided(used <= limit),
        measured=used,
        limit=limit,
        unit="GB",
        samples=1,
        detail=f"{name} {used:.2f} GB in a fresh process, ceiling {limit:.2f} GB",
    )
