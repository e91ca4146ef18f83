"""What a determinism audit means: for the prompts with exact snapshots, for the report. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from phase8.gates.verdicts import decided, missing, not_applicable, status_of
from phase8.profile.profile import Profile
from phase8.profile.terms import Role
from phase8.record.audit import AuditedPrompt, AuditRecord, Parting
from phase8.record.run import Agreement, Divergence, Verdict

GATE = "determinism"
NOT_COMPARED = "unstable: not compared"


def with_timed(audit: AuditRecord, agreement: Agreement | None) -> AuditRecord:
    """The audit with the way ``alone`` of its canonical queries, which the shipped kernels answered when timed.

    A query that only one side replied to was not tried, and so was none where nothing was compared.
    """
    if agreement is None or not agreement.compared:
        return audit
    parted = {one.case: one for one in agreement.divergences}
    return audit.model_copy(
        update={
            "prompts": tuple(
                _with_alone(prompt, parted.get(prompt.case))
                if prompt.suite == "canonical" and prompt.case not in agreement.unpaired
                else prompt
                for prompt in audit.prompts
            )
        }
    )


def _with_alone(prompt: AuditedPrompt, found: Divergence | None) -> AuditedPrompt:
    parted = dict(prompt.parted)
    if found:
        parted["alone"] = Parting.model_validate(found.model_dump(exclude={"case"}))
    return prompt.model_copy(update={"compared": (*prompt.compared, "alone"), "parted": parted})


def determinism(variant: str, role: Role, profile: Profile, audit: AuditRecord | None) -> Verdict:
    """How many audited prompts get the same tokens in whatever way they are written.

    Without ``budgets.deterministic`` that is told, and nothing can fail: a model may hold two tokens for equally
    likely. An unstable prompt has no exact snapshot, and the merge gate fails where it was stable in the baseline.
    With a limit, prompts that were not tried in every way leave the gate missing where they would decide it.
    """
    limit = profile.budgets.deterministic
    if variant not in profile.audited():
        of_production = limit is not None and profile.audit.variants is None  # all of them are audited, and no others
        why = "the profile's [audit] leaves it out"
        return not_applicable(variant, role, GATE, why, set_for_production=of_production)
    if audit is None or not audit.prompts:
        return missing(variant, role, GATE, "no prompt was audited")
    unstable, prompts = audit.unstable(), len(audit.prompts)
    stable = prompts - len(unstable)
    told = f"{stable} of {prompts} prompts get the same tokens in every way"
    told += "" if limit is None else f", at least {limit:.0%} wanted"
    told += "".join(f"; {prompt.suite}/{prompt.case}: {prompt.why}" for prompt in unstable)
    untried = sum(not prompt.parted for prompt in unstable)
    if limit is not None and stable / prompts < limit <= (stable + untried) / prompts:
        return missing(variant, role, GATE, told)
    production = None if limit is None else decided(stable / prompts >= limit)
    return Verdict(
        variant=variant,
        role=role,
        gate=GATE,
        status=status_of(role, production) if production else "info",
        as_production=production,
        measured=stable / prompts,
        limit=limit,
        unit="share",
        samples=prompts,
        detail=told,
        failures=tuple(prompt.case for prompt in unstable),
    )


class Exact(NamedTuple):
    """The calls to be compared with the record as they are, and the queries that are left out of it."""

    calls: dict[str, Any]
    left_out: tuple[str, ...]


def exact_calls(calls: Mapping[str, Any], recorded: Mapping[str, Any] | None, audit: AuditRecord | None) -> Exact:
    """The canonical calls with what is unstable, now or when it was recorded, taken from the record, so equal to it.

    Args:
        calls: the calls of each canonical query.
        recorded: the accepted ones; None where they are being recorded now.
        audit: of the variant; without one every query is compared.
    """
    unstable = {prompt.case for prompt in audit.unstable() if prompt.suite == "canonical"} if audit else set()
    before = recorded or {}
    left_out = tuple(case for case in calls if case in unstable or before.get(case) == NOT_COMPARED)
    kept = {case: before.get(case, NOT_COMPARED) if case in left_out else found for case, found in calls.items()}
    return Exact(kept, left_out)
