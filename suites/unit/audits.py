"""Audits for tests: of the canonical queries of ``records``, stable unless told otherwise."""

from typing import Any

from phase8.record.audit import WAYS, AuditedPrompt, AuditRecord, Odds, Parting, Way
from suites.unit import records

PARTED = Parting(position=2, gap=0.0004, same_decision=True)
ODDS = tuple(Odds(tokens=(token, 9), log_p=(-0.1, -3.0), log_rest=-3.0) for token in (1, 2, 3))


def prompt(case: str = "view-functions", *parted: Way, **changes: Any) -> AuditedPrompt:
    """One prompt that parts in the named ways."""
    values: dict[str, Any] = {
        "suite": "canonical",
        "case": case,
        "compared": WAYS,
        "parted": dict.fromkeys(parted, PARTED),
        "odds": ODDS,
    }
    return AuditedPrompt.model_validate({**values, **changes})


def audit(*changed: AuditedPrompt) -> AuditRecord:
    """The five canonical queries, some of them changed."""
    found = {one.case: prompt(one.case) for one in records.canonical()} | {one.case: one for one in changed}
    return AuditRecord(prompts=tuple(found.values()), side_by_side=len(found), seconds=1.0)
