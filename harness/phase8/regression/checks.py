"""A run against the accepted baseline of its lane: every check of the merge gate. Pure."""

import difflib
import json
from collections.abc import Iterator, Sequence
from math import ceil, log2
from statistics import median

from phase8.cases.cases import Case
from phase8.gates.paired_loss import LEVEL, SUITES, Pair, Unpaired, compared_cases, match, paired_loss, raw_p
from phase8.gates.tool_calls import canonical_calls
from phase8.profile.profile import Profile
from phase8.record.run import Reply, RunRecord, VariantRecord
from phase8.regression.completeness import absences, changed_limits, key, named, same_prompt
from phase8.regression.findings import Finding, Flip
from phase8.regression.latency import Timed, latency_finding
from phase8.regression.pairing import Both, finding, flip
from phase8.regression.runtime import determinism, runtime, unstable
from phase8.stats.proportions import paired_upper_bound

NOT_JUDGED = "not judged: needs blocks measured in one job"


def compare_with_baseline(
    run: RunRecord, baseline: RunRecord, profile: Profile, timed: Timed | None = None
) -> list[Finding]:
    """Every finding on a run beside its baseline.

    A baseline of another lane is invalid; what two machines can be compared on is told of all the same.
    """
    measured = {variant.name: variant for variant in run.variants}
    both = [Both(before=v, after=measured[v.name]) for v in baseline.variants if v.name in measured]
    same_lane = run.lane == baseline.lane
    found = absences(run, baseline)
    if not same_lane:
        detail = f"the run is of {run.lane}, the baseline of another machine or profile: {baseline.lane}"
        found.append(Finding(check="lane", subject="run", outcome="invalid", detail=detail))
    family = {one.name: p for one in both if one.blocks and (p := _p(one)) is not None}
    for one in both:
        if one.after.role != "control":
            found += [_canonical(one), _accuracy(one, family, profile), _calls(one), *_decoding(one)]
        found += [*runtime(one, profile), *determinism(one)] if same_lane else ()
        found += [_size(one, profile), _memory(one, profile) if same_lane else _elsewhere(one, "memory")]
    base = next((one for one in both if one.name == "base"), None)
    blocked = {one.variant: one for one in timed.blocked} if timed else {}
    undecided, replaced = (timed.undecided, timed.replaced) if timed else ({}, {})
    for one in both:
        if one.name in blocked:
            judged = latency_finding(blocked[one.name], one.blocks, replaced.get(one.name, ""))
            found.append(_free(judged, profile))
        elif one.name in undecided:
            # Not what gate.inconclusive_blocks lets pass: nothing was measured.
            found.append(finding("latency", one, "inconclusive", f"not timed: {undecided[one.name]}"))
        else:
            why = timed.why.get(one.name, "") if timed else ""
            found.append(_latency(one, None if same_lane else base, same_lane, why))
    found += changed_limits(run, baseline)
    for name in sorted(measured.keys() - {one.name for one in both}):
        detail = "the baseline has no such variant: judged by its own gates alone until a run with it is accepted"
        found.append(Finding(check="variant", subject=name, outcome="not judged", detail=detail, blocks=False))
    if timed and timed.failed:
        found.append(Finding(check="latency", subject="run", outcome="missing", detail=timed.failed))
    return found


def _free(found: Finding, profile: Profile) -> Finding:
    """An inconclusive finding does not block where the profile says so."""
    free = found.outcome == "inconclusive" and not profile.gate.inconclusive_blocks
    return found.model_copy(update={"blocks": False}) if free else found


def smallest_loss(prompts: int, family: int) -> str:
    """What this many prompts could have shown at best, for a person.

    With none gained, the fewest prompts lost whose one-sided exact McNemar p, 2^-lost, is under 0.05 over ``family``
    (Holm's first step); and the exact upper bound where none was lost.
    """
    lost = ceil(log2(family / LEVEL) + 1e-12)
    if lost > prompts:
        return f"{prompts} prompts can show no loss at all (it takes {lost})"
    least = paired_upper_bound(0, 0, prompts)
    return (
        f"the smallest loss that {prompts} prompts could have shown is {lost} of them, {lost / prompts:.1%}; "
        f"with none lost, a loss of {least:.1%} could not be ruled out"
    )


def _pairs(both: Both) -> tuple[Pair, ...] | Unpaired:
    """The baseline's held-out prompts and probes with both replies; prompts that changed have no pair."""
    theirs = {key(reply): reply for reply in both.before.replies}
    ours = [reply for reply in both.after.replies if key(reply) in theirs and same_prompt(theirs[key(reply)], reply)]
    return match(compared_cases([_case(reply) for reply in both.before.replies]), both.before.replies, ours)


def _case(reply: Reply) -> Case:
    return Case(
        id=reply.case,
        suite=reply.suite,
        turn=reply.turn,
        label=reply.label,
        query=reply.query,
        messages=(),
        group=reply.group,
        phrasing=reply.phrasing,
        category=reply.category,
        unseen=reply.unseen,
    )


def _p(both: Both) -> float | None:
    """A variant's raw p; 1 where prompts are missing, since it stays in the family; None where none were asked."""
    pairs = _pairs(both)
    return 1.0 if isinstance(pairs, Unpaired) else raw_p(pairs) if pairs else None


def _accuracy(both: Both, family: dict[str, float], profile: Profile) -> Finding:
    pairs, limit = _pairs(both), profile.budgets.max_loss
    if isinstance(pairs, Unpaired):
        detail = f"{pairs.missing} of {pairs.asked} prompts of the baseline were not asked again: nothing is compared"
        return finding("accuracy", both, "missing", detail, blocks=True)
    if not pairs:
        suites = " or ".join(SUITES)
        return finding("accuracy", both, "not judged", f"the baseline holds no {suites} prompt", blocks=False)
    found = paired_loss(both.name, pairs, family, limit).model_copy(update={"reference": "baseline"})
    holm = f", {found.adjusted_p:.3g} after Holm over {found.family}" if found.family > 1 else ""
    return Finding(
        check="accuracy",
        subject=both.name,
        outcome=found.outcome,
        detail=f"{len(found.lost)} lost, {len(found.gained)} gained of {found.prompts}; loss {found.loss:.1%}, at most "
        f"{found.bound:.1%} with 95 % confidence ({found.bound_method}), {limit:.0%} allowed; "
        f"McNemar p {found.p:.3g}{holm}; {smallest_loss(found.prompts, max(found.family, 1))}",
        blocks=both.blocks and (found.outcome != "inconclusive" or profile.gate.inconclusive_blocks),
        measured=found.loss,
        limit=limit,
        unit="share",
        flips=tuple(flips(both)),
        paired=found,
    )


def flips(both: Both) -> Iterator[Flip]:
    """Every prompt that only one of the two runs replied to as its label says, lost ones first."""
    changed = [(old, new) for old, new in both.same_prompts() if old.correct != new.correct]
    for old, new in sorted(changed, key=lambda pair: pair[1].correct):
        yield flip(old, new)


def _canonical(both: Both) -> Finding:
    """No statistics: every canonical query that the baseline got right must be right."""
    lost = [flip for flip in flips(both) if flip.suite == "canonical" and flip.change == "lost"]
    asked = [reply for reply in both.after.replies if reply.suite == "canonical" and reply.turn == 1]
    right = sum(reply.correct for reply in asked)
    if not asked:
        return finding("canonical", both, "not judged", "no canonical query was asked", blocks=False)
    detail = f"{right} of {len(asked)} right" + (f"; lost: {', '.join(flip.case for flip in lost)}" if lost else "")
    found = finding("canonical", both, "regressed" if lost else "fine", detail)
    return found.model_copy(update={"names": tuple(flip.case for flip in lost), "flips": tuple(lost)})


def _decoding(both: Both) -> list[Finding]:
    """The same tokens must be the same text: a tokenizer that was altered reads them as something else."""
    same = [(old, new) for old, new in both.pairs() if old.tokens and old.tokens == new.tokens]
    if not same:
        return []
    other = [(old, new) for old, new in same if old.text != new.text]
    told = f"{len(same)} replies of the same tokens"
    if not other:
        return [finding("decoding", both, "fine", f"{told} are the same text")]
    detail = f"the tokenizer reads the same tokens as another text: {len(other)} of {told}"
    names = tuple(named(key(new)) for _, new in other)
    flipped = tuple(flip(*pair) for pair in other[:10])
    found = finding("decoding", both, "regressed", detail, blocks=True)
    return [found.model_copy(update={"names": names, "flips": flipped})]


def _calls(both: Both) -> Finding:
    """The parsed canonical calls as a diff; queries unstable in an audited baseline are left out and named.

    So are those that became unstable since, which ``determinism`` finds; where the baseline has no audit, nothing is.
    """
    left_out = {case for suite, _, case in unstable(both) if suite == "canonical"} if both.before.audit else set()
    before, after = (_calls_text(variant.replies, left_out) for variant in (both.before, both.after))
    told = f"; left out as unstable: {', '.join(sorted(left_out))}" if left_out else ""
    if before == after == ["{}"]:
        return finding("calls", both, "not judged", f"no canonical query has an exact snapshot{told}", blocks=False)
    if before == after:
        return finding("calls", both, "fine", f"the canonical calls are the baseline's{told}")
    lines = difflib.unified_diff(before, after, "baseline", "run", lineterm="", n=1)
    found = finding("calls", both, "regressed", f"the parsed canonical calls differ from the baseline's{told}")
    return found.model_copy(update={"difference": "\n".join(lines)})


def _calls_text(replies: Sequence[Reply], left_out: set[str]) -> list[str]:
    calls = {
        case: [call.model_dump() for call in found]
        for case, found in sorted(canonical_calls(replies).items())
        if case not in left_out
    }
    return json.dumps(calls, indent=1, ensure_ascii=False, sort_keys=True).splitlines()


def _size(both: Both, profile: Profile) -> Finding:
    sizes = both.before.size_bytes, both.after.size_bytes
    return _growth("size", both, *sizes, profile.gate.max_size_growth, "size on disk")


def _memory(both: Both, profile: Profile) -> Finding:
    judged = profile.budgets.memory.judged if profile.budgets.memory else "process_peak"
    before, after = both.before.memory, both.after.memory
    if before and after:
        kinds = [(one.work, one.process_peak_kind) for one in (before, after)]
        if kinds[0] != kinds[1]:
            return finding(
                "memory", both, "missing", f"not the same measurement: {kinds[0]} and {kinds[1]}", blocks=True
            )
    values = [getattr(one, f"{judged}_bytes") if one else None for one in (before, after)]
    return _growth("memory", both, values[0], values[1], profile.gate.max_memory_growth, judged.replace("_", " "))


def _growth(check: str, both: Both, before: int | None, after: int | None, allowed: float, what: str) -> Finding:
    if not before:
        return finding(check, both, "not judged", f"the baseline has no {what}", blocks=False)
    if not after:
        return finding(check, both, "missing", f"{what} was not measured", blocks=True)
    growth = after / before - 1
    detail = f"{what} {after / 1e6:,.1f} MB, was {before / 1e6:,.1f} MB: {growth:+.1%}, {allowed:.0%} allowed"
    found = finding(check, both, "regressed" if growth > allowed else "fine", detail)
    limit = before * (1 + allowed)
    return found.model_copy(update={"baseline": before, "measured": after, "limit": limit, "unit": "bytes"})


def _elsewhere(both: Both, check: str) -> Finding:
    return finding(check, both, "not judged", "not judged: measured on another machine", blocks=False)


def _latency(both: Both, base: Both | None, same_lane: bool, why: str) -> Finding:
    """Ratios of medians for a person; two jobs differ by more than most changes do, so they decide nothing."""
    ratios = []
    for name, samples in both.before.latency.items():
        values = [_median(variant, name) for variant in (both.before, both.after)]
        own = [_median(variant, name) for variant in (base.before, base.after)] if base else [1.0, 1.0]
        if values[0] and values[1] and own[0] and own[1] and (same_lane or base):
            ratios.append(f"{name} x {values[1] / own[1] / (values[0] / own[0]):.3f}")
        elif samples.values:
            ratios.append(f"{name} cannot be compared")
    told = "of the baseline's median, another job" if same_lane else "of the baseline's, each over its own base"
    return finding(
        "latency",
        both,
        "not judged",
        f"{f'not judged: {why}' if why else NOT_JUDGED} ({told}: {', '.join(ratios) or 'none'})",
        blocks=False,
    )


def _median(variant: VariantRecord, name: str) -> float | None:
    found = variant.latency.get(name)
    return median(found.values) if found and found.values else None
