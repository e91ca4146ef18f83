"""Shards of a run, measured apart, as one run; what is incomplete or contradicts itself is refused. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from phase8.core.errors import InvalidInput
from phase8.gates.outcome import outcome
from phase8.gates.paired_loss import adjusted, loss_outcome
from phase8.gates.replies import Evidence, loss_verdict
from phase8.profile.profile import Profile
from phase8.record.run import RunRecord, VariantRecord, Verdict
from phase8.shards.joined_ladder import merged_ladder

_ALIKE = ("profile", "profile_hash", "lane")
_STAGES = ("corpus", "probe", "training")  # made once, by whoever came first
_OF_A_RUN = frozenset({"disk_free_gb"})


def merge(shards: Mapping[str, RunRecord], profile: Profile) -> RunRecord:
    """One run of all shards; the variant that timings are compared with may be in each of them.

    Holm's correction of ``accuracy vs adapter`` is made anew, over the variants of all shards, and so is the answer to
    which width is the smallest safe one.

    Args:
        shards: records by the name of their file.
        profile: what the run should be of.

    Raises:
        InvalidInput: no shards, shards of different commits, profiles, lanes or machines, a variant in two of them
            or in none, or an artefact or verdict that two shards disagree about.
    """
    if not shards:
        raise InvalidInput("no shards: no run.json in the folder. Each shard is what `run --variant NAME` wrote.")
    _alike(shards)
    variants = _variants(shards, profile)
    artefacts = _joined("artefact", {name: run.artefacts for name, run in shards.items()})
    first = next(iter(shards.values()))
    verdicts = _verdicts(shards, profile)
    return first.model_copy(
        update={
            "started": min(run.started for run in shards.values()),
            "seconds": round(sum(run.seconds for run in shards.values()), 1),
            "partial": False,
            "artefacts": artefacts,
            "variants": variants,
            "verdicts": verdicts,
            "survival": merged_ladder(shards, verdicts, profile),
            "failures": tuple(dict.fromkeys(test for run in shards.values() for test in run.failures)),
            "pytest_status": _pytest_status(list(shards.values())),
        }
    )


def _pytest_status(shards: Sequence[RunRecord]) -> int | None:
    """How pytest ended where that speaks against a shard by itself; else 0, or None where no shard says."""
    known = [run.pytest_status for run in shards if run.pytest_status is not None]
    return next((run.pytest_status for run in shards if outcome(run).ended), 0 if known else None)


def merged_benchmarks(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What pytest-benchmark wrote in every shard as one file; of a benchmark in several, the first shard's timings."""
    timed = [part for part in parts if part["benchmarks"]] or list(parts)
    named: dict[str, Any] = {}
    for found in (one for part in timed for one in part["benchmarks"]):
        named.setdefault(found["fullname"], found)
    return {**timed[0], "benchmarks": list(named.values())}


def _alike(shards: Mapping[str, RunRecord]) -> None:
    (first, reference), *others = shards.items()
    for name, run in others:
        for part in _ALIKE:
            if getattr(run, part) != getattr(reference, part):
                here, there = getattr(run, part), getattr(reference, part)
                raise InvalidInput(
                    f"{name}: {part} is not that of {first}: {here}, there {there}. Shards are of one run, on machines "
                    "of one kind."
                )
        for part in _STAGES:
            if getattr(run, part) != getattr(reference, part):
                raise InvalidInput(
                    f"{name}: {part} was done apart from that of {first}. Build it once, and let every shard take it "
                    "from one store (--build)."
                )
        here, there = (one.environment.model_dump(exclude=set(_OF_A_RUN)) for one in (reference, run))
        for part, value in here.items():
            if there[part] != value:
                raise InvalidInput(f"{name}: {part} is {there[part]!r}, {value!r} in {first}. Measure it again.")


def _variants(shards: Mapping[str, RunRecord], profile: Profile) -> tuple[VariantRecord, ...]:
    shared, found = profile.budgets.latency.relative_to, dict[str, tuple[str, VariantRecord]]()
    for name, run in shards.items():
        if shared and shared not in {variant.name for variant in run.variants}:
            raise InvalidInput(
                f"{name}: it did not measure {shared}, which the profile compares timings with in the same run. "
                f"Measure the shard again with --variant {shared} too."
            )
        for variant in run.variants:
            if variant.name not in found:
                found[variant.name] = name, variant
                continue
            other, kept = found[variant.name]
            if variant.name != shared:
                raise InvalidInput(f"{name}: variant {variant.name} is in {other} too. Leave one of them out.")
            if (variant.artefact, variant.replies) != (kept.artefact, kept.replies):
                raise InvalidInput(f"{name}: {variant.name} is not the artefact, or has not the replies, of {other}.")
    wanted = profile.variant_names()
    if lacking := [name for name in wanted if name not in found]:
        raise InvalidInput(f"incomplete: no shard measured {', '.join(lacking)}. Add it, then merge again.")
    if unknown := sorted(found.keys() - set(wanted)):
        raise InvalidInput(f"{found[unknown[0]][0]}: profile {profile.name} has no variant {', '.join(unknown)}.")
    return tuple(found[name][1] for name in wanted)


def _joined(what: str, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for name, values in parts.items():
        for key, value in values.items():
            if joined.setdefault(key, value) != value:
                raise InvalidInput(f"{name}: {what} {key} is {value!r}, {joined[key]!r} in another shard.")
    return joined


def _verdicts(shards: Mapping[str, RunRecord], profile: Profile) -> tuple[Verdict, ...]:
    """The first shard's verdict on each gate; statuses must agree, apart from what is timed anew."""
    kept: dict[tuple[str, str], Verdict] = {}
    for name, run in shards.items():
        for verdict in run.verdicts:
            first = kept.setdefault((verdict.variant, verdict.gate), verdict)
            if first.status != verdict.status:
                raise InvalidInput(
                    f"{name}: {verdict.variant}: {verdict.gate} is {verdict.status}, {first.status} in another shard."
                )
    family = {v.variant: v.paired.p for v in kept.values() if v.paired and v.role == "production"}
    return tuple(_corrected(verdict, family, profile) for verdict in kept.values())


def _corrected(verdict: Verdict, family: dict[str, float], profile: Profile) -> Verdict:
    paired, limit = verdict.paired, profile.budgets.max_loss
    if paired is None:
        return verdict
    p = adjusted(verdict.variant, paired.p, family)
    size = len(family) if verdict.variant in family else 1
    judged = loss_outcome(p, paired.bound, limit)
    found = paired.model_copy(update={"adjusted_p": p, "family": size, "outcome": judged})
    evidence = Evidence(variant=verdict.variant, role=verdict.role, cases=(), replies=(), budgets=profile.budgets)
    return loss_verdict(evidence, verdict.gate, found)
