"""The gates on survival: are a fused model's codes right, and is the gain of the fine-tuning still there? Pure."""

from phase8.gates.verdicts import decided, missing, not_applicable, status_of
from phase8.profile.limits import Budgets
from phase8.profile.terms import Role
from phase8.record.integrity import ModuleIntegrity
from phase8.record.ladder import Estimate, FolderCheck, Recovery, RecoveryOutcome
from phase8.record.run import Production, Verdict

_NAMED = 5
_GAINS: dict[RecoveryOutcome, Production] = {
    "fine": "pass",
    "regressed": "fail",
    "inconclusive": "inconclusive",
    "nothing to recover": "inconclusive",
    "reference lost": "fail",
    "reference not shown": "inconclusive",
}


def judged_reason(kind: str, name: str, has_survival: bool) -> str:
    """Why the gates on survival do not apply to a variant; empty where they do."""
    if not has_survival:
        return "the profile has no [survival] section"
    if kind == "fused":
        return ""
    whats = {"base": "this is what the adapter was trained on", "adapter": "this is the adapter itself, not fused"}
    return whats.get(kind, f"{name} was not fused here; `python -m harness integrity` judges folders made elsewhere")


def integrity(variant: str, role: Role, found: FolderCheck | None, reason: str = "") -> Verdict:
    """Every code, scale and float of a fused folder is the one recomputed from base and adapter, up to rounding.

    A folder fused on another machine may have rounded otherwise: that is no loss, and said.
    """
    gate = "integrity"
    if reason:
        return not_applicable(variant, role, gate, reason)
    if found is None:
        return missing(variant, role, gate, "the folder was not compared with its base and adapter")
    if not found.unchanged:
        return missing(variant, role, gate, "the folder's files changed after they were compared; build it again")
    production = decided(found.outcome in ("equal", "rounding"))
    told = f"{found.equal} of {found.modules} modules are bit for bit what base and adapter give"
    told += f", {found.rounding} but for rounding" if found.rounding else ""
    named = "; ".join(f"{fault.path}: {_fault(fault)}" for fault in found.faults[:_NAMED])
    wrong = tuple(fault.path for fault in found.faults if fault.outcome != "rounding")
    settings = f"; the folder: {', '.join(found.settings)}" if found.settings else ""
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status_of(role, production),
        as_production=production,
        measured=(found.equal + found.rounding) / found.modules,
        limit=1.0,
        unit="share",
        samples=found.modules,
        detail=told + (f"; {named}" if named else "") + settings,
        failures=wrong,
    )


def _fault(fault: ModuleIntegrity) -> str:
    """What is wrong with a module, the outcome said once."""
    if fault.reason.lower().startswith(fault.outcome):
        return fault.reason
    return f"{fault.outcome}: {fault.reason}" if fault.reason else fault.outcome


def recovery(variant: str, role: Role, found: Recovery | None, budgets: Budgets, reason: str = "") -> Verdict:
    """The lower bound of the share of the gain that is left is at least the profile's floor."""
    gate = "recovery"
    if reason:
        return not_applicable(variant, role, gate, reason)
    if found is None:
        return missing(variant, role, gate, "the held-out rows were not scored")
    share, blocks = found.share, gate in budgets.inconclusive_blocks
    return Verdict(
        variant=variant,
        role=role,
        gate=gate,
        status=status_of(role, _GAINS[found.outcome]),
        as_production=_GAINS[found.outcome],
        measured=share.value if share else None,
        limit=found.floor,
        unit="share",
        samples=found.gain.samples,
        interval=share.interval if share else None,
        detail=_told(found),
        blocks=blocks,
    )


def _told(found: Recovery) -> str:
    """The share that is left, or why there is none."""
    share, gain = found.share, found.gain
    if found.outcome == "reference lost":
        left = f"{share.value:.1%} of it{_bounds(share)}" if share else "nothing sure of it"
        return f"reference lost: the model that recovery is measured from has itself {left}, the live adapter has all"
    if found.outcome == "reference not shown":
        left = f"{share.value:.1%} of it{_bounds(share)}" if share else "nothing sure of it"
        return (
            f"reference not shown: the model that recovery is measured from has itself {left}; whether that is "
            f"{found.floor:.0%} cannot be said, so nothing is measured from it"
        )
    if share is None and gain.interval is None:
        return "nothing to recover: all rows are of one topic, so that nothing says how sure any gain is"
    if share is None:
        ends = f" ({gain.interval.low:.3g} to {gain.interval.high:.3g})" if gain.interval else ""
        return f"nothing to recover: the adapter gains {gain.value:.3g} nats a token on these rows{ends}"
    told = f"{found.outcome}: {share.value:.1%} of the gain{_bounds(share)}, at least {found.floor:.0%} wanted"
    return told + (f"; against the zero-delta control {found.attribution.value:.1%}" if found.attribution else "")


def _bounds(share: Estimate) -> str:
    return f" (95 % {share.interval.low:.1%} to {share.interval.high:.1%})" if share.interval else ""
