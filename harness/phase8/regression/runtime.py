"""Whether the runtime is the baseline's: the same tokens and odds of the same artefact, the same prompts stable. Pure.

A runtime that only shifts the odds still writes the same tokens until two of them are nearly as likely: the odds that
the baseline keeps show it before a reply changes.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple

from phase8.profile.profile import Profile
from phase8.record.audit import AuditedPrompt, AuditRecord
from phase8.record.run import Reply
from phase8.regression.completeness import Key, key, named
from phase8.regression.findings import Finding, Outcome
from phase8.regression.pairing import Both, finding, flip
from phase8.stats.top_logprobs import divergence

DETERMINISM = "determinism"


class Furthest(NamedTuple):
    """The largest divergence of any kept token, over how many, where it is, and prompts whose odds are gone."""

    nats: float
    tokens: int
    where: str
    lacking: tuple[str, ...]


def unstable(both: Both) -> set[Key]:
    """The prompts whose tokens were not always the same, in the baseline or in the run."""
    audits = [variant.audit for variant in (both.before, both.after) if variant.audit]
    return {_key(prompt) for audit in audits for prompt in audit.unstable()}


def runtime(both: Both, profile: Profile) -> list[Finding]:
    """The same artefact on the same machine must write the same tokens with the same odds, whatever its role.

    Of another artefact of the variant it is told how far its odds have moved, and judged where the profile limits that.
    Prompts that were already unstable in the baseline are left out and named.
    """
    pairs = both.same_prompts()
    if not pairs:
        return []
    if not both.same_weights:
        return _drift(both, profile.gate.max_drift_kl)
    shaky = {_key(prompt) for prompt in both.before.audit.unstable()} if both.before.audit else set()
    exact = [(old, new) for old, new in pairs if key(old) not in shaky]
    other = [(old, new) for old, new in exact if old.tokens != new.tokens]
    found, limit = _furthest(both), profile.gate.max_runtime_kl
    moved = found is not None and found.nats > limit
    told = f"{len(other)} of {len(exact)} replies have other tokens" if other else f"{len(exact)} replies, same tokens"
    told += f"; {_told(found, f'{limit:.2g} allowed')}" + _left_out(
        sorted(map(named, shaky & {key(old) for old, _ in pairs}))
    )
    start = "the runtime changed: same artefact and lane, and " if other or moved else "same artefact and lane: "
    made = finding("runtime", both, _outcome(bool(other) or moved, found, len(exact)), start + told, blocks=True)
    names = [named(key(new)) for _, new in other] + ([found.where] if found and moved else [])
    update: dict[str, Any] = {
        "names": (*names, *(found.lacking if found else ())),
        "flips": tuple(flip(*pair) for pair in other[:10]),
    }
    if found and isfinite(found.nats):
        update |= {"measured": found.nats, "limit": limit, "unit": "nats"}
    return [made.model_copy(update=update)]


def _drift(both: Both, limit: float | None) -> list[Finding]:
    """How far a changed artefact's odds are from the baseline's, up to the first token that differs in each reply."""
    found, judged = _furthest(both), limit is not None
    if found is None:
        why = "the baseline keeps no odds of this variant: gate.max_drift_kl judges nothing until another is accepted"
        return [finding("drift", both, "not judged", why, blocks=False)] if judged else []
    allowed = f"{limit:.2g} allowed" if judged else "no gate.max_drift_kl in the profile"
    detail = f"another artefact than the baseline's: {_told(found, allowed)}"
    outcome = _outcome(found.nats > limit, found, found.tokens) if limit is not None else "not judged"
    made = finding("drift", both, outcome, detail, blocks=None if judged else False)
    update: dict[str, Any] = {"names": (found.where,) if found.where else ()}
    if isfinite(found.nats):
        update |= {"measured": found.nats, "limit": limit, "unit": "nats"}
    return [made.model_copy(update=update)]


def _outcome(changed: bool, found: Furthest | None, exact: int) -> Outcome:
    if changed:
        return "regressed"
    if found and found.lacking:
        return "missing"
    return "fine" if exact else "not judged"


def _furthest(both: Both) -> Furthest | None:
    """The odds at every token whose context is the same in both runs; None where the baseline keeps none there."""
    if both.before.audit is None:
        return None
    ours = {_key(prompt): prompt for prompt in both.after.audit.prompts} if both.after.audit else {}
    worst, where, tokens, lacking = 0.0, "", 0, []
    for (old, new), prompt in _audited(both, both.before.audit):
        if not prompt.stable:
            continue  # left out as its tokens are: fewer odds, or others, are what unstable means
        parted = next((i for i, (a, b) in enumerate(zip(old.tokens, new.tokens, strict=False)) if a != b), None)
        if parted is None and len(old.tokens) != len(new.tokens):
            parted = min(len(old.tokens), len(new.tokens))  # one of them ends there
        theirs = prompt.odds[: None if parted is None else parted + 1]
        mine = ours[key(new)].odds if key(new) in ours else ()
        if len(mine) < len(theirs):
            lacking.append(f"{named(key(old))}: odds of {len(mine)} of {len(theirs)} tokens")
        for position, pair in enumerate(zip(theirs, mine, strict=False)):
            tokens += 1
            if (nats := divergence(*pair)) > worst:
                worst, where = nats, f"{named(key(old))} at token {position}"
    return Furthest(worst, tokens, where, tuple(lacking)) if tokens or lacking else None


def _audited(both: Both, audit: AuditRecord) -> Iterator[tuple[tuple[Reply, Reply], AuditedPrompt]]:
    """The audited prompts of the baseline that are still the same, each with its judged replies in both runs."""
    pairs = {key(old): (old, new) for old, new in both.same_prompts()}
    yield from ((pairs[_key(prompt)], prompt) for prompt in audit.prompts if _key(prompt) in pairs)


def _told(found: Furthest | None, allowed: str) -> str:
    if found is None:
        return "the odds were not compared: the baseline keeps none"
    at = f" ({found.where})" if found.where else ""
    gone = f"; not kept any more: {', '.join(found.lacking)}" if found.lacking else ""
    return f"KL at least {found.nats:.2g} nats over {found.tokens} tokens{at}, {allowed}{gone}"


def _left_out(names: list[str]) -> str:
    return f"; left out as unstable in the baseline: {', '.join(names)}" if names else ""


def determinism(both: Both) -> list[Finding]:
    """What was stable in the baseline is stable still; what was audited is audited still. By name."""
    if both.before.audit is None:
        return []
    before = {_key(prompt): prompt for prompt in both.before.audit.prompts}
    after = {_key(prompt): prompt for prompt in both.after.audit.prompts} if both.after.audit else {}
    found = []
    if gone := [named(one) for one in before if one not in after]:
        detail = f"audited in the baseline and not in the run: {', '.join(gone)}"
        found.append(finding(DETERMINISM, both, "missing", detail, blocks=True).model_copy(update={"names": (*gone,)}))
    lost = [after[one] for one, old in before.items() if old.stable and one in after and not after[one].stable]
    if lost:
        told = "; ".join(f"{named(_key(one))}: {one.why}" for one in lost)
        made = finding(DETERMINISM, both, "regressed", f"stable in the baseline and unstable now: {told}")
        found.append(made.model_copy(update={"names": tuple(named(_key(one)) for one in lost)}))
    if before and not found:
        stable = sum(old.stable for old in before.values())
        detail = f"the {stable} prompts that were stable in the baseline, of {len(before)}, are stable still"
        found.append(finding(DETERMINISM, both, "fine" if stable else "not judged", detail))
    return found


def _key(prompt: AuditedPrompt) -> Key:
    return prompt.suite, prompt.turn, prompt.case
