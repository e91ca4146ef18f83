"""The gates on replies: discrimination, termination. Cases and limits in, verdicts out. Pure."""

from collections.abc import Callable, Sequence

from phase8.cases.cases import Case
from phase8.core.values import Frozen
from phase8.gates.paired_loss import REFERENCE, Unpaired, compared_cases, match, paired_loss, raw_p
from phase8.gates.verdicts import decided, missing, not_applicable, status_of
from phase8.profile.limits import Budgets
from phase8.profile.terms import Role
from phase8.record.run import PairedLoss, Production, Reply, Verdict
from phase8.stats.confusion import confusion, in_words
from phase8.stats.proportions import clopper_pearson


class Evidence(Frozen):
    """What is judged of one variant: the cases it was asked, its replies, the profile's limits."""

    variant: str
    role: Role
    cases: tuple[Case, ...]
    replies: tuple[Reply, ...]
    budgets: Budgets

    def of(self, suite: str, turn: int) -> list[Case]:
        """The cases of one suite and turn."""
        return [case for case in self.cases if case.suite == suite and case.turn == turn]


def canonical(evidence: Evidence) -> Verdict:
    """Every canonical query is answered as its label says."""
    cases = evidence.of("canonical", 1)
    return _share(evidence, "canonical", cases, lambda r: r.correct, at_least=evidence.budgets.canonical)


def held_out(evidence: Evidence) -> Verdict:
    """Held-out prompts: tool and direct told apart."""
    cases = evidence.of("held-out", 1)
    return _share(evidence, "held-out", cases, lambda r: r.correct, at_least=evidence.budgets.held_out)


def over_calls(evidence: Evidence) -> Verdict:
    """Held-out prompts that need no tool and got a call or an attempt at one."""
    cases = [case for case in evidence.of("held-out", 1) if case.label == "direct"]
    return _share(
        evidence,
        "over-calls",
        cases,
        is_over_call,
        at_most=evidence.budgets.max_over_calls,
    )


def under_calls(evidence: Evidence) -> Verdict:
    """Held-out prompts that need a tool and got none called; malformed calls count against ``held-out``."""
    cases = [case for case in evidence.of("held-out", 1) if case.label == "tool"]
    return _share(
        evidence,
        "under-calls",
        cases,
        is_under_call,
        at_most=evidence.budgets.max_under_calls,
    )


def is_over_call(reply: Reply) -> bool:
    """Whether a reply to a prompt that needs no tool calls one, or tries to."""
    return reply.decision in ("call", "malformed")


def is_under_call(reply: Reply) -> bool:
    """Whether a reply to a prompt that needs a tool calls none."""
    return reply.decision in ("answer", "empty")


def second_turn(evidence: Evidence) -> Verdict:
    """Given the tool's result, the model answers and does not call again."""
    cases = evidence.of("held-out", 2)
    return _share(evidence, "second turn", cases, lambda r: r.correct, at_least=evidence.budgets.second_turn)


def probes(evidence: Evidence) -> Verdict:
    """Hard probes, where surface cues mislead: told about, and judged where the profile sets ``budgets.probes``."""
    limit = evidence.budgets.probes
    found = _share(evidence, "probes", evidence.of("probe", 1), lambda r: r.correct, at_least=limit or 0.0)
    if found.measured is None:
        return found
    replies = [reply for reply in evidence.replies if reply.suite == "probe"]
    endless, cut = sum(not has_ended(reply) for reply in replies), evidence.of("probe", 1)[0].max_tokens
    ends = f"{endless} read to their first {cut} tokens" if cut else f"{endless} did not end at the stop sequence"
    told = f"{in_words(confusion(replies))}; {ends}"
    if limit is not None:
        return found.model_copy(update={"detail": f"{found.detail}; {told}"})
    share = found.detail.partition(", at least")[0]
    free = {"status": "info", "as_production": None, "limit": None}
    return found.model_copy(update={**free, "detail": f"{share}; {told}"})


def is_compared(variant: str) -> bool:
    """Whether a variant is compared with the live adapter: neither the adapter itself nor its base is."""
    return variant not in (REFERENCE, "base")


def accuracy_vs_adapter(evidence: Evidence, adapter: Evidence | None, others: Sequence[Evidence]) -> Verdict:
    """Held-out prompts and hard probes, paired with the live adapter's replies: is fused as right as unfused?

    Regressed where the one-sided exact McNemar p is under 0.05 after Holm over the production variants; fine where
    the 95 % upper bound of the loss is at most ``budgets.max_loss``; else inconclusive.

    Args:
        evidence: the variant.
        adapter: the live adapter; None where the profile has none.
        others: the production variants that this run compares, which Holm's correction covers.
    """
    gate, variant, role = "accuracy vs adapter", evidence.variant, evidence.role
    if not is_compared(variant):
        what = "the adapter itself" if variant == REFERENCE else "what the adapter was trained on"
        return not_applicable(variant, role, gate, f"this is {what}")
    if adapter is None:
        return not_applicable(variant, role, gate, "the profile has no adapter to compare with")
    cases = compared_cases(evidence.cases)
    if not cases:
        return not_applicable(variant, role, gate, "the profile has no such prompts")
    matched = match(cases, adapter.replies, evidence.replies)
    if isinstance(matched, Unpaired):
        return missing(variant, role, gate, f"{matched.missing} of {matched.asked} prompts have no pair of replies")
    family = {one.variant: _family_p(one, adapter) for one in others}
    return loss_verdict(evidence, gate, paired_loss(variant, matched, family, evidence.budgets.max_loss))


def _family_p(evidence: Evidence, adapter: Evidence) -> float:
    """A variant whose replies are not whole stays in the family with the p that rejects nothing."""
    matched = match(compared_cases(evidence.cases), adapter.replies, evidence.replies)
    return 1.0 if isinstance(matched, Unpaired) else raw_p(matched)


def loss_verdict(evidence: Evidence, gate: str, found: PairedLoss) -> Verdict:
    """The verdict on a loss against the live adapter."""
    limit, role = evidence.budgets.max_loss, evidence.role
    outcomes: dict[str, Production] = {"fine": "pass", "regressed": "fail", "inconclusive": "inconclusive"}
    production = outcomes[found.outcome]
    counts = "; ".join(f"{s.suite} {s.lost} lost, {s.gained} gained of {s.prompts}" for s in found.suites)
    holm = f"after Holm over {found.family} variants {found.adjusted_p:.3g}" if found.family > 1 else "one variant"
    return Verdict(
        variant=evidence.variant,
        role=role,
        gate=gate,
        status=status_of(role, production),
        as_production=production,
        measured=found.loss,
        limit=limit,
        unit="share",
        samples=found.prompts,
        detail=f"{found.outcome}: {len(found.lost)} lost, {len(found.gained)} gained of {found.prompts} ({counts}); "
        f"loss {found.loss:.1%}, at most {found.bound:.1%} with 95 % confidence ({found.bound_method}), "
        f"{limit:.0%} allowed; McNemar p {found.p:.3g}, {holm}",
        failures=found.lost,
        paired=found,
        blocks=gate in evidence.budgets.inconclusive_blocks,
    )


def termination(evidence: Evidence) -> Verdict:
    """Every reply ends at the stop sequence within the token limit, with nothing after it.

    Hard probes do not count: some ask for prose of any length. ``probes`` tells how many of them did not end.
    """
    cases = [case for case in evidence.cases if case.suite != "probe"]
    return _share(evidence, "termination", cases, has_ended, at_least=evidence.budgets.terminated)


def has_ended(reply: Reply) -> bool:
    """Whether a reply ends at the stop sequence, with nothing after it."""
    return reply.finish == "stop" and not reply.after_stop


def control(evidence: Evidence) -> Verdict:
    """A control must fail discrimination: a gate that it passes can tell nothing.

    Passes where the canonical or the held-out gate, judged as for production, fails on measured replies.
    """
    strict = evidence.model_copy(update={"role": "production"})
    judged = [canonical(strict), held_out(strict)]
    if unmeasured := [verdict for verdict in judged if verdict.status == "missing"]:
        return missing(evidence.variant, "control", "control", unmeasured[0].detail)
    measured = [verdict for verdict in judged if verdict.measured is not None]
    if not measured:
        return missing(evidence.variant, "control", "control", "there are no prompts that it could fail")
    caught = any(verdict.status == "fail" for verdict in measured)
    worst = min(measured, key=lambda verdict: verdict.measured or 0.0)
    verb = "fails discrimination, as it must" if caught else "PASSES discrimination: the gate cannot tell it apart"
    return Verdict(
        variant=evidence.variant,
        role="control",
        gate="control",
        status=decided(caught),
        measured=worst.measured,
        samples=worst.samples,
        unit="share",
        interval=worst.interval,
        detail=f"{verb} ({'; '.join(f'{v.gate}: {v.detail}' for v in measured)})",
    )


def _share(
    evidence: Evidence,
    gate: str,
    cases: Sequence[Case],
    counts: Callable[[Reply], bool],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Verdict:
    """Judge the share of the cases' replies that ``counts``; the cases on the wrong side are named.

    A case without a reply makes the verdict ``missing``: nothing passes because it was not measured.
    """
    variant, role = evidence.variant, evidence.role
    if not cases:
        return not_applicable(variant, role, gate, "the profile has no such prompts")
    given = {(reply.case, reply.suite, reply.turn): reply for reply in evidence.replies}
    replies = [given[key] for case in cases if (key := (case.id, case.suite, case.turn)) in given]
    if len(replies) < len(cases):
        return missing(variant, role, gate, f"{len(cases) - len(replies)} of {len(cases)} prompts have no reply")
    wanted = at_least is not None
    limit = at_least if at_least is not None else at_most if at_most is not None else 0.0
    hits = sum(counts(reply) for reply in replies)
    share, interval = hits / len(replies), clopper_pearson(hits, len(replies))
    production = decided(share >= limit if wanted else share <= limit)
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status_of(role, production),
        as_production=production,
        measured=share,
        limit=limit,
        unit="share",
        samples=len(replies),
        interval=interval,
        detail=f"{hits} of {len(replies)} (95 % interval {interval.low:.1%} to {interval.high:.1%}), "
        f"{'at least' if wanted else 'at most'} {limit:.0%} wanted",
        failures=tuple(reply.case for reply in replies if counts(reply) != wanted),
    )
