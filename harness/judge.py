"""The gates: measurements and limits in, verdicts out. No clock, no files, no model."""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Literal

from harness.cases import Case
from harness.confusion import confusion, in_words
from harness.formats import Call
from harness.frozen import Frozen
from harness.machine import GB
from harness.paired import REFERENCE, Unpaired, compared_cases, match, paired_loss, raw_p
from harness.profile import Budgets, Role
from harness.record import Agreement, Divergence, Environment, Memory, PairedLoss, Reply, Samples, Status, Verdict
from harness.stats import clopper_pearson, ratio_of_medians

GATES = (
    "canonical",
    "held-out",
    "probes",
    "accuracy vs adapter",
    "over-calls",
    "under-calls",
    "second turn",
    "termination",
    "kernel agreement",
    "seconds a query",
    "decode ratio",
    "memory",
    "tool calls",
)
TIE_NATS = 0.001  # SmolLM2's logits differ by up to 0.00015 between its quantised kernels and float32 BLAS
GOOD: frozenset[Status] = frozenset({"pass", "xpass", "new", "info", "not applicable"})
MEASURED: frozenset[Status] = frozenset({"pass", "fail", "xpass", "xfail", "inconclusive", "missing"})
BAD: frozenset[Status] = frozenset({"fail", "missing"})


def holds_up(verdict: Verdict) -> bool:
    """Whether an undecided verdict keeps the run from passing."""
    return verdict.status == "inconclusive" and verdict.role != "candidate" and verdict.blocks


def is_good(verdict: Verdict) -> bool:
    """Whether a verdict lets its test pass. An xfail does not: pytest turns it into an expected failure."""
    return verdict.status in GOOD


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
        lambda r: r.decision in ("call", "malformed"),
        at_most=evidence.budgets.max_over_calls,
    )


def under_calls(evidence: Evidence) -> Verdict:
    """Held-out prompts that need a tool and got none called; malformed calls count against ``held-out``."""
    cases = [case for case in evidence.of("held-out", 1) if case.label == "tool"]
    return _share(
        evidence,
        "under-calls",
        cases,
        lambda r: r.decision in ("answer", "empty"),
        at_most=evidence.budgets.max_under_calls,
    )


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
    endless, cut = sum(not _ended(reply) for reply in replies), evidence.of("probe", 1)[0].max_tokens
    ends = f"{endless} read to their first {cut} tokens" if cut else f"{endless} did not end at the stop sequence"
    told = f"{in_words(confusion(replies))}; {ends}"
    if limit is not None:
        return found.model_copy(update={"detail": f"{found.detail}; {told}"})
    share = found.detail.partition(", at least")[0]
    return found.model_copy(update={"status": "info", "limit": None, "detail": f"{share}; {told}"})


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
        return _not_applicable(variant, role, gate, f"this is {what}")
    if adapter is None:
        return _not_applicable(variant, role, gate, "the profile has no adapter to compare with")
    cases = compared_cases(evidence.cases)
    if not cases:
        return _not_applicable(variant, role, gate, "the profile has no such prompts")
    matched = match(cases, adapter.replies, evidence.replies)
    if isinstance(matched, Unpaired):
        return _missing(variant, role, gate, f"{matched.missing} of {matched.asked} prompts have no pair of replies")
    family = {one.variant: _family_p(one, adapter) for one in others}
    return _loss_verdict(evidence, gate, paired_loss(variant, matched, family, evidence.budgets.max_loss))


def _family_p(evidence: Evidence, adapter: Evidence) -> float:
    """A variant whose replies are not whole stays in the family with the p that rejects nothing."""
    matched = match(compared_cases(evidence.cases), adapter.replies, evidence.replies)
    return 1.0 if isinstance(matched, Unpaired) else raw_p(matched)


def _loss_verdict(evidence: Evidence, gate: str, found: PairedLoss) -> Verdict:
    limit, role = evidence.budgets.max_loss, evidence.role
    undecided = found.outcome == "inconclusive" and role != "control"
    counts = "; ".join(f"{s.suite} {s.lost} lost, {s.gained} gained of {s.prompts}" for s in found.suites)
    holm = f"after Holm over {found.family} variants {found.adjusted_p:.3g}" if found.family > 1 else "one variant"
    return Verdict(
        variant=evidence.variant,
        role=role,
        gate=gate,
        status="inconclusive" if undecided else _status(role, found.outcome == "fine"),
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
    return _share(evidence, "termination", cases, _ended, at_least=evidence.budgets.terminated)


def _ended(reply: Reply) -> bool:
    return reply.finish == "stop" and not reply.after_stop


def control(evidence: Evidence) -> Verdict:
    """A control must fail discrimination: a gate that it passes can tell nothing.

    Passes where the canonical or the held-out gate, judged as for production, fails on measured replies.
    """
    strict = evidence.model_copy(update={"role": "production"})
    judged = [canonical(strict), held_out(strict)]
    if missing := [verdict for verdict in judged if verdict.status == "missing"]:
        return _missing(evidence.variant, "control", "control", missing[0].detail)
    measured = [verdict for verdict in judged if verdict.measured is not None]
    if not measured:
        return _missing(evidence.variant, "control", "control", "there are no prompts that it could fail")
    caught = any(verdict.status == "fail" for verdict in measured)
    worst = min(measured, key=lambda verdict: verdict.measured or 0.0)
    verb = "fails discrimination, as it must" if caught else "PASSES discrimination: the gate cannot tell it apart"
    return Verdict(
        variant=evidence.variant,
        role="control",
        gate="control",
        status="pass" if caught else "fail",
        measured=worst.measured,
        samples=worst.samples,
        unit="share",
        interval=worst.interval,
        detail=f"{verb} ({'; '.join(f'{v.gate}: {v.detail}' for v in measured)})",
    )


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
        return _missing(variant, role, gate, "no timed reply to compare with")
    ties = [d for d in found.divergences if abs(d.gap) <= TIE_NATS and d.same_decision]
    faults = [d for d in found.divergences if d not in ties]
    share = (found.same + len(ties)) / found.compared
    parts = [f"{found.same} of {found.compared} canonical replies are token for token the same on the shipped kernels"]
    for divergence in found.divergences:
        kind = "a tie" if abs(divergence.gap) <= TIE_NATS else "no tie"
        decision = "" if divergence.same_decision else ", and the decision is another"
        parts.append(
            f"{divergence.case} parts at token {divergence.position} ({divergence.gap:.2g} nats, {kind})" + decision
        )
    parts += [f"{case} has no counterpart" for case in found.unpaired]
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=_status(role, share == 1.0),
        measured=share,
        limit=1.0,
        unit="share",
        samples=found.compared,
        detail="; ".join(parts),
        failures=(*(d.case for d in faults), *found.unpaired),
    )


def seconds_a_query(
    variant: str, role: Role, latency: dict[str, Samples], budgets: Budgets, environment: Environment
) -> Verdict:
    """Mean seconds a canonical query end to end, against the limit set on the reference machine."""
    gate, budget = "seconds a query", budgets.latency
    limit = budget.seconds_per_query.get(variant)
    if limit is None:
        return _not_applicable(variant, role, gate, "the profile sets no absolute limit for this variant")
    if environment.chip != budget.reference_machine:
        why = f"the limit was set on {budget.reference_machine}; this is {environment.chip}"
        return _not_applicable(variant, role, gate, why)
    if "query_s" not in latency:
        return _missing(variant, role, gate, "no canonical query was timed")
    values = latency["query_s"].values
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=_status(role, mean(values) <= limit),
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
        return _not_applicable(variant, role, gate, "the profile compares with no variant")
    if variant == budget.relative_to:
        return _not_applicable(variant, role, gate, "this is the variant the others are compared with")
    if reference is None:
        return _not_applicable(variant, role, gate, f"{budget.relative_to} was left out of this partial run")
    if "token_s" not in latency or "token_s" not in reference:
        return _missing(variant, role, gate, "the fixed work was not timed")
    mine, other = latency["token_s"].values, reference["token_s"].values
    if min(len(mine), len(other)) < 2:
        return _missing(variant, role, gate, f"{len(mine)} and {len(other)} tokens were timed; an interval needs 2")
    ratio, interval = ratio_of_medians(mine, other)
    limit = budget.max_decode_ratio
    decided = interval.high <= limit or interval.low > limit or role == "control"
    status = _status(role, interval.high <= limit) if decided else "inconclusive"
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status,
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
        return _not_applicable(variant, role, "memory", "the profile sets no ceiling")
    if found is None or not getattr(found, f"{budget.judged}_bytes"):
        return _missing(variant, role, "memory", "memory was not measured")
    limit = budget.variants_gb.get(variant, budget.ceiling_gb)
    used = getattr(found, f"{budget.judged}_bytes") / GB
    name = found.process_peak_kind if budget.judged == "process_peak" else budget.judged.replace("_", " ")
    return Verdict(
        variant=variant,
        role=role,
        gate="memory",
        status=_status(role, used <= limit),
        measured=used,
        limit=limit,
        unit="GB",
        samples=1,
        detail=f"{name} {used:.2f} GB in a fresh process, ceiling {limit:.2f} GB",
    )


def tool_calls(variant: str, role: Role, accepted: bool, same: bool, difference: str) -> Verdict:
    """The parsed canonical calls are the recorded ones; a lane without a snapshot is new, shown and not judged."""
    status: Status = _status(role, same) if accepted else "new"
    detail = "as recorded" if same else difference
    if not accepted:
        detail = "no snapshot in this lane yet; accept it with `pytest suites/phase8 --snapshot-update`"
    return Verdict(variant=variant, role=role, gate="tool calls", status=status, samples=1, detail=detail)


def canonical_calls(replies: Sequence[Reply]) -> dict[str, list[Call]]:
    """The normalised calls of each canonical reply, for the snapshot."""
    return {r.case: [call.normalised() for call in r.calls] for r in replies if r.suite == "canonical"}


def outcome(verdicts: Sequence[Verdict]) -> tuple[Literal[0, 1, 3], tuple[str, ...]]:
    """The exit code of a run and the reasons for it: 0 fine, 1 failed or nothing judged, 3 inconclusive.

    A candidate cannot fail a run, so one that is inconclusive does not hold it up either, and neither does a gate
    that the profile leaves out of ``budgets.inconclusive_blocks``.
    """
    if not any(verdict.status in MEASURED for verdict in verdicts):
        return 1, ("nothing was judged",)
    bad = tuple(f"{v.variant}: {v.gate}: {v.status}: {v.detail}" for v in verdicts if v.status in BAD)
    if bad:
        return 1, bad
    open_ones = [verdict for verdict in verdicts if holds_up(verdict)]
    unsure = tuple(f"{v.variant}: {v.gate}: {v.detail}" for v in open_ones)
    return (3, unsure) if unsure else (0, ())


def absent(expected: Sequence[tuple[str, Role, str]], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A ``missing`` verdict for every (variant, role, gate) that should have been judged and was not."""
    found = {(verdict.variant, verdict.gate) for verdict in verdicts}
    return [
        _missing(variant, role, gate, "no verdict: its test did not get that far")
        for variant, role, gate in expected
        if (variant, gate) not in found
    ]


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
        return _not_applicable(variant, role, gate, "the profile has no such prompts")
    given = {(reply.case, reply.suite, reply.turn): reply for reply in evidence.replies}
    replies = [given[key] for case in cases if (key := (case.id, case.suite, case.turn)) in given]
    if len(replies) < len(cases):
        return _missing(variant, role, gate, f"{len(cases) - len(replies)} of {len(cases)} prompts have no reply")
    wanted = at_least is not None
    limit = at_least if at_least is not None else at_most if at_most is not None else 0.0
    hits = sum(counts(reply) for reply in replies)
    share, interval = hits / len(replies), clopper_pearson(hits, len(replies))
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=_status(role, share >= limit if wanted else share <= limit),
        measured=share,
        limit=limit,
        unit="share",
        samples=len(replies),
        interval=interval,
        detail=f"{hits} of {len(replies)} (95 % interval {interval.low:.1%} to {interval.high:.1%}), "
        f"{'at least' if wanted else 'at most'} {limit:.0%} wanted",
        failures=tuple(reply.case for reply in replies if counts(reply) != wanted),
    )


def _status(role: Role, good: bool) -> Status:
    """What a gate's outcome means for a role: only production can fail here."""
    if role == "control":
        return "info"
    if role == "candidate":
        return "xpass" if good else "xfail"
    return "pass" if good else "fail"


def _missing(variant: str, role: Role, gate: str, why: str) -> Verdict:
    return Verdict(variant=variant, role=role, gate=gate, status="missing", detail=why)


def _not_applicable(variant: str, role: Role, gate: str, why: str) -> Verdict:
    return Verdict(variant=variant, role=role, gate=gate, status="not applicable", detail=why)
