"""A variant against the live adapter on the same prompts: what was lost, and how much at most. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from phase8.cases.cases import Case
from phase8.core.values import Frozen
from phase8.profile.terms import ADAPTER
from phase8.record.run import PairedLoss, Reply, Suite, SuitePair
from phase8.stats.proportions import clustered_upper_bound, holm, mcnemar_greater, paired_upper_bound

REFERENCE = ADAPTER
SUITES: tuple[Suite, ...] = ("held-out", "probe")
LEVEL = 0.05


class Pair(Frozen):
    """One prompt and whether the reference and the variant replied to it as its label says."""

    case: Case
    reference_right: bool
    right: bool

    @property
    def loss(self) -> int:
        """1 where only the reference is right, -1 where only the variant is, else 0."""
        return self.reference_right - self.right


class Unpaired(Frozen):
    """Prompts that one of the two did not reply to: nothing is compared then."""

    missing: int
    asked: int


def compared_cases(cases: Sequence[Case]) -> list[Case]:
    """The prompts that a comparison is made on: first turns of the held-out split and the hard probes.

    They are pooled, since loss is counted prompt by prompt and more prompts show a smaller one. The canonical
    queries stay out: they were chosen, not sampled. Second turns do too, as their prompts repeat the first.
    """
    return [case for case in cases if case.suite in SUITES and case.turn == 1]


def match(cases: Sequence[Case], reference: Sequence[Reply], variant: Sequence[Reply]) -> tuple[Pair, ...] | Unpaired:
    """Both replies to every one of ``cases``, or how many prompts lack one."""
    theirs, ours = ({(r.case, r.suite, r.turn): r.correct for r in replies} for replies in (reference, variant))
    keyed = [(case, (case.id, case.suite, case.turn)) for case in cases]
    found = [
        Pair(case=case, reference_right=theirs[key], right=ours[key])
        for case, key in keyed
        if key in theirs and key in ours
    ]
    return tuple(found) if len(found) == len(cases) else Unpaired(missing=len(cases) - len(found), asked=len(cases))


def raw_p(pairs: Sequence[Pair]) -> float:
    """The one-sided exact McNemar p that the variant is as often right as the reference."""
    return mcnemar_greater(sum(pair.loss == 1 for pair in pairs), sum(pair.loss == -1 for pair in pairs))


def adjusted(name: str, p: float, family: Mapping[str, float]) -> float:
    """The p of ``name`` after Holm over ``family``; the p itself for a variant that is not in the family."""
    if name not in family:
        return p
    return dict(zip(family, holm(list(family.values())), strict=True))[name]


def paired_loss(name: str, pairs: Sequence[Pair], family: Mapping[str, float], max_loss: float) -> PairedLoss:
    """What a variant lost against the reference, tested and bounded.

    Args:
        name: the variant.
        pairs: its prompts, at least one.
        family: the raw p of every variant that Holm's correction covers, by name.
        max_loss: the loss, as a share of the prompts, that the bound may reach and still be fine.
    """
    bound, method = upper_bound(pairs)
    p = raw_p(pairs)
    adjusted_p = adjusted(name, p, family)
    return PairedLoss(
        reference=REFERENCE,
        prompts=len(pairs),
        suites=tuple(of_suite(suite, pairs) for suite in SUITES if any(p.case.suite == suite for p in pairs)),
        lost=tuple(pair.case.id for pair in pairs if pair.loss == 1),
        gained=tuple(pair.case.id for pair in pairs if pair.loss == -1),
        loss=sum(pair.loss for pair in pairs) / len(pairs),
        bound=bound,
        bound_method=method,
        p=p,
        adjusted_p=adjusted_p,
        family=len(family) if name in family else 1,
        outcome=loss_outcome(adjusted_p, bound, max_loss),
    )


def loss_outcome(adjusted_p: float, bound: float, max_loss: float) -> Literal["regressed", "fine", "inconclusive"]:
    """Regressed where the loss is no chance, fine where more than ``max_loss`` is ruled out, else inconclusive."""
    if adjusted_p < LEVEL:
        return "regressed"
    return "fine" if bound <= max_loss else "inconclusive"


def upper_bound(pairs: Sequence[Pair]) -> tuple[float, str]:
    """The one-sided 95 % upper bound of the loss and the method behind it: the largest of three.

    Prompts about one topic, and prompts made from one phrasing, may fall together, so the loss is bootstrapped by
    topic and by phrasing. Where few prompts differ a bootstrap hardly varies and claims too much (with none it says 0),
    so an exact bound, which takes prompts to be independent, is the least that is reported.
    """
    losses = [pair.loss for pair in pairs]
    lost, gained = losses.count(1), losses.count(-1)
    topics = [pair.case.group or pair.case.id for pair in pairs]
    phrasings = [pair.case.phrasing or topic for pair, topic in zip(pairs, topics, strict=True)]
    bounds = {
        "exact": paired_upper_bound(lost, gained, len(pairs)),
        "bootstrap by topic": clustered_upper_bound(losses, topics),
        "bootstrap by phrasing": clustered_upper_bound(losses, phrasings),
    }
    method = max(bounds, key=lambda name: bounds[name])
    return bounds[method], method


def of_suite(suite: Suite, pairs: Sequence[Pair]) -> SuitePair:
    """The counts of one suite."""
    found = [pair for pair in pairs if pair.case.suite == suite]
    return SuitePair(
        suite=suite,
        prompts=len(found),
        right=sum(pair.right for pair in found),
        reference_right=sum(pair.reference_right for pair in found),
        lost=sum(pair.loss == 1 for pair in found),
        gained=sum(pair.loss == -1 for pair in found),
    )
