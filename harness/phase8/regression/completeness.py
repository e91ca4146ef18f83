"""What the baseline measured and a run did not, by name. Names are compared before numbers. Pure."""

from collections import Counter
from collections.abc import Iterator
from math import isclose

from phase8.core.same_query import folded
from phase8.gates.verdicts import MEASURED
from phase8.record.run import Reply, RunRecord, VariantRecord, Verdict
from phase8.regression.findings import Finding

Key = tuple[str, int, str]
_SHOWN = frozenset({"info", "new"})  # and not judged: such a gate can no longer fail
_ASKED = frozenset({*MEASURED, "info"})


def key(reply: Reply) -> Key:
    """What names a prompt of a variant."""
    return reply.suite, reply.turn, reply.case


def named(prompt: Key) -> str:
    """A prompt's name for a person."""
    suite, turn, case = prompt
    return f"{suite}/{case}" + ("/2" if turn == 2 else "")


def same_prompt(before: Reply, after: Reply) -> bool:
    """Whether two replies are to the same conversation, token by token, with the same label.

    Of a baseline from before prompts were hashed the length must do.
    """
    known = (before.query, before.label, before.prompt_tokens) == (after.query, after.label, after.prompt_tokens)
    return known and before.prompt_hash in ("", after.prompt_hash)


def absences(run: RunRecord, baseline: RunRecord) -> list[Finding]:
    """A ``missing`` finding for whatever is in the baseline and not, or not the same, in the run."""
    measured = {variant.name: variant for variant in run.variants}
    found: list[Finding] = []
    for before in baseline.variants:
        after = measured.get(before.name)
        if after is None:
            found.append(_missing("variant", before.name, "the baseline has it, the run does not"))
        else:
            found += [*_role(before, after), *_queries(before, after), *_metrics(before, after)]
    return [*found, *_gates(run, baseline)]


def _missing(check: str, subject: str, detail: str, names: list[str] | None = None) -> Finding:
    return Finding(check=check, subject=subject, outcome="missing", detail=detail, names=tuple(names or ()))


def _role(before: VariantRecord, after: VariantRecord) -> Iterator[Finding]:
    if before.role == "production" and after.role != "production":
        yield _missing("role", before.name, f"was production, is {after.role}: its gates can no longer fail")


def _queries(before: VariantRecord, after: VariantRecord) -> Iterator[Finding]:
    asked = {key(reply): reply for reply in before.replies}
    answered = {key(reply): reply for reply in after.replies}
    suites = dict.fromkeys(suite for suite, _, _ in asked if suite not in {s for s, _, _ in answered})
    for suite in suites:
        yield _missing("suite", before.name, f"no prompt of suite {suite} was asked; the baseline's were", [suite])
    gone = [k for k in asked if k not in answered and k[0] not in suites]
    if gone:
        new = {(k[0], k[1], reply.query): k for k, reply in answered.items() if k not in asked}
        told = [named(k) + _renamed(new.get((k[0], k[1], asked[k].query))) for k in gone]
        yield _missing("query", before.name, f"no reply to {_some(told)}", [named(k) for k in gone])
    if other := [k for k in asked if k in answered and not same_prompt(asked[k], answered[k])]:
        told = [f"{named(k)} ({_difference(asked[k], answered[k])})" for k in other]
        yield _missing(
            "query", before.name, f"other prompts under the same names: {_some(told)}", list(map(named, other))
        )
    yield from _copies(before, after)


def _copies(before: VariantRecord, after: VariantRecord) -> Iterator[Finding]:
    """A prompt asked under a second name would count twice."""
    counts = [Counter((r.suite, r.turn, folded(r.query)) for r in variant.replies) for variant in (before, after)]
    copied = {prompt for prompt, count in counts[1].items() if count > max(1, counts[0][prompt])}
    if copied:
        texts = list(dict.fromkeys(r.query for r in after.replies if (r.suite, r.turn, folded(r.query)) in copied))
        detail = f"asked under more than one name: {_some(texts)}"
        yield Finding(
            check="duplicated query", subject=after.name, outcome="invalid", detail=detail, names=tuple(texts)
        )


def _renamed(now: Key | None) -> str:
    return f" (renamed: its text is {named(now)} now)" if now else ""


def _difference(before: Reply, after: Reply) -> str:
    if before.query != after.query:
        return f"was {before.query[:60]!r}, is {after.query[:60]!r}"
    if before.label != after.label:
        return f"label was {before.label}, is {after.label}"
    if before.prompt_tokens != after.prompt_tokens:
        return f"the prompt had {before.prompt_tokens} tokens, has {after.prompt_tokens}"
    return f"other tokens in a prompt of {after.prompt_tokens}: system prompt, chat template or tokenizer changed"


def _metrics(before: VariantRecord, after: VariantRecord) -> Iterator[Finding]:
    lacking = [
        n for n, s in before.latency.items() if s.values and (n not in after.latency or not after.latency[n].values)
    ]
    lacking += [
        name
        for name in ("memory", "size_bytes", "bits_per_weight", "agreement")
        if getattr(before, name) is not None and getattr(after, name) is None
    ]
    if lacking:
        yield _missing("metric", before.name, f"not measured: {', '.join(lacking)}", lacking)
    for name in before.latency.keys() & after.latency.keys():
        units = before.latency[name].unit, after.latency[name].unit
        if units[0] != units[1]:
            yield _missing("metric", before.name, f"{name} was in {units[0]}, is in {units[1]}", [name])


def _gates(run: RunRecord, baseline: RunRecord) -> Iterator[Finding]:
    given = {(verdict.variant, verdict.gate): verdict for verdict in run.verdicts}
    gone: dict[str, list[Verdict]] = {}
    for before in baseline.verdicts:
        after = given.get((before.variant, before.gate))
        unjudged = after is None or after.status == "not applicable"
        could_fail = before.status not in _SHOWN and not _had_no_limit(before)
        shown = after is not None and after.status in _SHOWN and could_fail
        if before.status in _ASKED and (unjudged or shown):
            gone.setdefault(before.variant, []).append(before)
    for variant, verdicts in gone.items():
        names = [verdict.gate for verdict in verdicts]
        yield _missing("gate", variant, f"judged in the baseline and not in the run: {', '.join(names)}", names)


def _had_no_limit(before: Verdict) -> bool:
    """Whether a verdict is of a determinism gate of before it could have a limit: it said "pass" and could not fail."""
    return before.gate == "determinism" and before.limit is None and before.status in ("pass", "xpass")


def changed_limits(run: RunRecord, baseline: RunRecord) -> Iterator[Finding]:
    """Gates that are judged by another limit than the baseline's were: told of, since a profile may be changed."""
    if run.profile_hash != baseline.profile_hash:
        changed = f"profile {baseline.profile_hash} became {run.profile_hash}"
        detail = f"{changed}: what it asks and allows may differ, [gate] included"
        yield Finding(check="profile", subject="run", outcome="not judged", detail=detail, blocks=False)
    before = {(verdict.variant, verdict.gate): verdict.limit for verdict in baseline.verdicts}
    for verdict in run.verdicts:
        old, new = before.get((verdict.variant, verdict.gate)), verdict.limit
        if old is not None and new is not None and not isclose(old, new, rel_tol=1e-9):
            told = " ".join([f"{new:g}", verdict.unit]).strip()
            detail = f"{verdict.gate} is judged by {told}, the baseline was by {old:g}"
            yield Finding(check="limit", subject=verdict.variant, outcome="not judged", detail=detail, blocks=False)


def _some(names: list[str], most: int = 10) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
