"""The gate on recorded tool calls: compared with a snapshot, or accepted as the new one. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from phase8.chat.formats import Call
from phase8.core.values import Frozen
from phase8.gates.verdicts import decided, missing, not_applicable, status_of
from phase8.profile.terms import Role
from phase8.record.run import Reply, Verdict

GATE = "tool calls"


class Compared(Frozen):
    """What became of a variant's calls.

    ``file`` is named as one does who stands in the checkout. ``changes`` has what was recorded and what is called now,
    by query; ``reason`` says why nothing was compared.
    """

    outcome: Literal["as recorded", "changed", "new", "lost", "accepted", "failed"]
    file: str
    changes: dict[str, str] = {}
    reason: str = ""


def canonical_calls(replies: Sequence[Reply]) -> dict[str, list[Call]]:
    """The normalised calls of each canonical reply, for the snapshot."""
    return {r.case: [call.normalised() for call in r.calls] for r in replies if r.suite == "canonical"}


def plain_calls(replies: Sequence[Reply]) -> dict[str, list[dict[str, Any]]]:
    """The same as JSON holds them."""
    return {case: [call.model_dump() for call in calls] for case, calls in canonical_calls(replies).items()}


def tool_calls(
    variant: str, role: Role, found: Compared, accept: str, left_out: Sequence[str] = (), of: int = 1
) -> Verdict:
    """The parsed canonical calls are the recorded ones; what has no record, or is accepted now, is shown, not judged.

    Args:
        variant: whose calls they are.
        role: its role.
        found: what the comparison with the snapshot gave.
        accept: the command that accepts today's calls.
        left_out: the queries that are not compared, since their tokens are not always the same.
        of: how many queries have calls.
    """
    if found.outcome == "failed":
        return missing(variant, role, GATE, found.reason)
    if left_out and len(left_out) == of:
        return not_applicable(variant, role, GATE, f"nothing to compare; {_unstable(left_out)}")
    production = None if found.outcome in ("new", "accepted") else decided(found.outcome == "as recorded")
    return Verdict(
        variant=variant,
        role=role,
        gate=GATE,
        status=status_of(role, production) if production else "new",
        samples=of - len(left_out),
        detail=_detail(found, accept) + (f"; {_unstable(left_out)}" if left_out else ""),
        as_production=production,
    )


def _detail(found: Compared, accept: str) -> str:
    differences = "; ".join(f"{case}: {change}" for case, change in found.changes.items())
    if found.outcome == "new":
        return f"no snapshot in this lane yet; accept today's calls with {accept}"
    if found.outcome == "lost":
        return f"this lane has snapshots, but not {found.file}; restore it, or accept today's calls with {accept}"
    if found.outcome == "changed":
        return f"{', '.join(found.changes)} changed; if that is right, accept it with {accept}; {differences}"
    if found.outcome == "accepted":
        return f"accepted now in {found.file}" + (f", where {differences}" if differences else "")
    return "as recorded"


def _unstable(left_out: Sequence[str]) -> str:
    return f"not compared, since the tokens are not always the same: {', '.join(left_out)}"


def told(owing: Sequence[str], found: Mapping[str, Compared], accept: str, accepts: bool, root: str) -> list[str]:
    """What a session says of tool calls at its end: which are new, or what became of those it was to accept.

    Args:
        owing: the variants whose calls the session was to judge.
        found: what became of them.
        accept: the command that accepts today's calls.
        accepts: whether this session accepts them.
        root: the folder with all snapshots, to be committed.
    """
    if not accepts:
        new = [name for name in owing if name in found and found[name].outcome == "new"]
        what = (
            f"new: {', '.join(new)}: no snapshot in this lane yet, so nothing was compared; accept today's calls with"
        )
        return [f"{what} {accept}"] if new else []
    if not owing:
        return ["NOT ACCEPTED: this session did not ask for the test of tool calls"]
    lines = [f"{name}: {_became(found.get(name))}" for name in owing]
    if any(one.outcome == "accepted" for one in found.values()):
        lines.append(f"Commit {root}: the next runs are compared with it.")
    return lines


def _became(found: Compared | None) -> str:
    if found is None:
        return "NOT ACCEPTED: its test did not get that far"
    if found.outcome == "accepted":
        changed = f" ({', '.join(found.changes)} changed)" if found.changes else ""
        return f"accepted: {found.file}{changed}"
    return "as recorded before" if found.outcome == "as recorded" else f"NOT ACCEPTED: {found.reason or found.outcome}"
