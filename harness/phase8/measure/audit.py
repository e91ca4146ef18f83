"""Variants audited in processes of their own: the determinism audit of a run, made anew in every run.

It is no artefact: what it is there to find is a runtime that changed although nothing that keys an artefact did.
"""

import contextlib
import sys
from collections.abc import Mapping

from phase8.cases.jobs import AuditWork
from phase8.core.errors import InvalidInput
from phase8.measure.process import MeasuredProcess
from phase8.measure.side_by_side import at_once, shares
from phase8.record.audit import AuditRecord

COMMAND = [sys.executable, "-m", "phase8.engine.timing.audit_worker"]


def audit(works: Mapping[str, AuditWork]) -> dict[str, AuditRecord | InvalidInput]:
    """The audit of every variant, or why there is none; as many processes as variants are measured at the same time.

    Each process audits its share of the variants one after another; where it dies, it takes those still to come along.
    """
    if not works:
        return {}
    count = min(at_once(), len(works))
    divided = [list(works)[start::count] for start in range(count)]
    with contextlib.ExitStack() as running:
        processes = []
        for names, cores in zip(divided, shares(count), strict=True):
            text = "[" + ",".join(works[name].model_dump_json() for name in names) + "]"
            process = running.enter_context(MeasuredProcess(", ".join(names), text, cores, COMMAND))
            processes.append(process)
            for number in range(len(names)):
                process.ask(f"audit {number}")
        asked = zip(divided, processes, strict=True)
        found = {name: _answer(process) for names, process in asked for name in names}
    return {name: found[name] for name in works}


def _answer(process: MeasuredProcess) -> AuditRecord | InvalidInput:
    try:
        return AuditRecord.model_validate(process.answer())
    except InvalidInput as failure:
        return failure
