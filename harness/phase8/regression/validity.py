"""Whether a run can be judged at all: what it carries is whole, agrees with itself, and is of this commit. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator

from phase8.cases.replies import SYNTHETIC_CONTROLS
from phase8.core.artefact import digest
from phase8.gates.outcome import outcome
from phase8.gates.replies import has_ended, is_over_call, is_under_call
from phase8.gates.verdicts import GATES, MEASURED, as_production
from phase8.profile.profile import Profile
from phase8.record.run import RunRecord, VariantRecord, Verdict
from phase8.record.view import first_turns
from phase8.regression.findings import Finding, Outcome

RUN = "run"
_NAMED = 5
_AT_MOST = frozenset({"over-calls", "under-calls"})
_SHARES: dict[str, Callable[[VariantRecord], list[bool]]] = {
    "canonical": lambda one: [reply.correct for reply in first_turns(one, "canonical")],
    "held-out": lambda one: [reply.correct for reply in first_turns(one, "held-out")],
    "over-calls": lambda one: [
        is_over_call(reply) for reply in first_turns(one, "held-out") if reply.label == "direct"
    ],
    "under-calls": lambda one: [
        is_under_call(reply) for reply in first_turns(one, "held-out") if reply.label == "tool"
    ],
    "second turn": lambda one: [reply.correct for reply in one.replies if (reply.suite, reply.turn) == ("held-out", 2)],
    "termination": lambda one: [has_ended(reply) for reply in one.replies if reply.suite != "probe"],
}


def owed(profile: Profile) -> set[tuple[str, str]]:
    """Every (variant, gate) that a whole run of a profile gives a verdict on."""
    names = profile.variant_names()
    pairs = {(name, gate) for name in names for gate in GATES}
    pairs |= {(name, "control") for name in names if profile.role(name) == "control"}
    return pairs | {(name, "control") for name in SYNTHETIC_CONTROLS}


def soundness(run: RunRecord, profile: Profile, profile_hash: str, commit: str | None) -> list[Finding]:
    """Every fault of a run by itself.

    Args:
        run: the run.
        profile: what it should have measured.
        profile_hash: of that profile, as a run of it records.
        commit: what is being judged; None where that is not asked.
    """
    return [
        *_empty(run),
        *_duplicates(run),
        *_hashes(run, profile, profile_hash),
        *_commit(run, commit),
        *_contradictions(run),
        *_incomplete(run, profile),
        *_own_outcome(run),
    ]


def _invalid(check: str, detail: str, names: tuple[str, ...] = (), subject: str = RUN) -> Finding:
    return Finding(check=check, subject=subject, outcome="invalid", detail=detail, names=names)


def _empty(run: RunRecord) -> Iterator[Finding]:
    if not run.variants or not any(variant.replies for variant in run.variants):
        yield _invalid("empty run", "it holds no reply of any variant: nothing was measured")
    if not any(verdict.status in MEASURED for verdict in run.verdicts):
        yield _invalid("empty run", "it holds no verdict: nothing was judged")


def _duplicates(run: RunRecord) -> Iterator[Finding]:
    if twice := _twice(variant.name for variant in run.variants):
        yield _invalid("duplicated variant", f"{', '.join(twice)} is in the run more than once", tuple(twice))
    if twice := _twice(f"{verdict.variant}: {verdict.gate}" for verdict in run.verdicts):
        yield _invalid("duplicated verdict", f"{'; '.join(twice)} is judged more than once", tuple(twice))
    for variant in run.variants:
        if twice := _twice(f"{r.suite}/{r.case}" + ("/2" if r.turn == 2 else "") for r in variant.replies):
            detail = f"{', '.join(twice)} has more than one reply"
            yield _invalid("duplicated query", detail, tuple(twice), variant.name)


def _twice(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _hashes(run: RunRecord, profile: Profile, profile_hash: str) -> Iterator[Finding]:
    if run.profile != profile.name:
        yield _invalid("profile", f"the run is of profile {run.profile}, not of {profile.name}: give --profile")
    elif run.profile_hash != profile_hash:
        yield _invalid(
            "profile", f"measured with profile {run.profile_hash}, this checkout has {profile_hash}: run again"
        )
    if not run.lane.startswith(f"{run.profile}--"):
        yield _invalid("lane", f"lane {run.lane} is not of profile {run.profile}")
    known = set(run.artefacts.values())
    for variant in run.variants:
        if loose := [key for key in variant.artefact.split("+") if key not in known]:
            detail = f"artefact {', '.join(loose)} is not among those of the run: its hash chain is broken"
            yield _invalid("hashes", detail, tuple(loose), variant.name)
    corpus = run.corpus
    if corpus and corpus.corpus_sha256:
        whole = digest({"pool": corpus.pool_sha256, "files": corpus.sha256})
        if whole != corpus.corpus_sha256:
            yield _invalid("hashes", "the corpus' hash is not that of its files: the record was changed")


def _commit(run: RunRecord, commit: str | None) -> Iterator[Finding]:
    if commit is None:
        return
    measured = run.environment.commit
    if measured != commit:
        detail = f"measured at {measured or 'no commit'}, judged is {commit}: measure that one, or give --commit"
        yield _invalid("commit", detail)
    if run.environment.dirty:
        yield _invalid("commit", "measured with uncommitted changes: nobody can tell what. Commit and measure again")


def _contradictions(run: RunRecord) -> Iterator[Finding]:
    """Shares are counted anew: a record that disagrees with its own replies was changed."""
    for variant in run.variants:
        for verdict in run.verdicts:
            counted = _SHARES.get(verdict.gate)
            if verdict.variant != variant.name or counted is None or verdict.measured is None:
                continue
            hits = counted(variant)
            share = sum(hits) / len(hits) if hits else None
            if share is None or abs(share - verdict.measured) > 1e-9:
                told = "there are no such replies" if share is None else f"its replies give {share:.4f}"
                detail = f"the record says {verdict.measured:.4f}, {told}: it was changed"
                yield _invalid(f"replies against {verdict.gate}", detail, subject=variant.name)
            elif verdict.limit is not None and as_production(verdict) == "pass":
                over = share - verdict.limit if verdict.gate in _AT_MOST else verdict.limit - share
                if over > 1e-9:
                    detail = f"{verdict.status} at {share:.4f}, limit {verdict.limit:.4f}: the record was changed"
                    yield _invalid(f"verdict on {verdict.gate}", detail, subject=variant.name)


def _incomplete(run: RunRecord, profile: Profile) -> Iterator[Finding]:
    given = {(verdict.variant, verdict.gate) for verdict in run.verdicts}
    by_variant: dict[str, list[str]] = {}
    for name, gate in sorted(owed(profile) - given):
        by_variant.setdefault(name, []).append(gate)
    for name, gates in by_variant.items():
        detail = f"no verdict on {', '.join(gates)}: the run is not whole"
        yield Finding(check="gate", subject=name, outcome="missing", detail=detail, names=tuple(gates))
    absent = set(profile.variant_names()) - {variant.name for variant in run.variants}
    for name in sorted(absent):
        detail = "the profile names it, and the run did not measure it"
        yield Finding(check="variant", subject=name, outcome="missing", detail=detail)
    if run.partial and not by_variant and not absent:
        yield Finding(check="partial run", subject=RUN, outcome="missing", detail="it says itself that it is partial")


def _own_outcome(run: RunRecord) -> Iterator[Finding]:
    """What the run came to by itself, whatever the baseline did."""
    found = outcome(run)
    for verdict in found.failed:
        yield _own_gate(verdict, "missing" if verdict.status == "missing" else "regressed")
    for verdict in found.undecided:
        yield _own_gate(verdict, "inconclusive")
    if found.tests:
        rest = f" and {len(found.tests) - _NAMED} more" if len(found.tests) > _NAMED else ""
        detail = f"failed: {', '.join(found.tests[:_NAMED])}{rest}"
        yield Finding(check="tests", subject=RUN, outcome="missing", detail=detail, names=found.tests)
    if found.ended:
        yield _invalid("pytest", found.ended)
    if not found.judged:
        yield Finding(check="gate", subject=RUN, outcome="missing", detail="the run itself says: nothing was judged")


def _own_gate(verdict: Verdict, said: Outcome) -> Finding:
    return Finding(
        check=verdict.gate,
        subject=verdict.variant,
        outcome=said,
        detail=f"the run's own gate: {verdict.status}: {verdict.detail}",
        measured=verdict.measured,
        limit=verdict.limit,
        unit=verdict.unit,
        names=verdict.failures,
    )
