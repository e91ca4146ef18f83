"""The ladders of a run's shards as one: every rung that any of them scored, and the answer given anew. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from phase8.core.errors import InvalidInput
from phase8.profile.profile import Profile
from phase8.record.ladder import LadderRecord
from phase8.record.run import RunRecord, Verdict
from phase8.survival.answer import answer

_ALIKE = ("reference", "rows", "tokens", "groups", "opening")
_SCORES = "scores "  # how a run's artefacts name what a rung scored


def merged_ladder(
    shards: Mapping[str, RunRecord], verdicts: Sequence[Verdict], profile: Profile
) -> LadderRecord | None:
    """The ladder of all shards; None where none of them scored one.

    Each shard scores its own widths beside base, live adapter and reference. Rungs that no variant is judged by, the
    control widths and the other recipe, are in no shard that names its variants: they are named in the notes.

    Args:
        shards: records by the name of their file.
        verdicts: those of the merged run, which the smallest safe width is found from.
        profile: what the run is of.

    Raises:
        InvalidInput: two shards measured from different references or rows, or disagree about a rung or a folder.
    """
    found = {name: run.survival for name, run in shards.items() if run.survival}
    if not found:
        return None
    (first, ladder), *others = found.items()
    for name, other in others:
        for part in _ALIKE:
            here, there = getattr(other, part), getattr(ladder, part)
            if here != there:
                raise InvalidInput(f"{name}: the ladder's {part} is {here!r}, {there!r} in {first}. Measure it again.")
    order = _order(next(iter(shards.values())).artefacts, ladder.reference)
    joined = {part: _joined(part, found, order) for part in ("rungs", "checks", "diagnoses")}
    whole = ladder.model_copy(update=joined)
    given = answer(whole, verdicts, profile)
    scored = {rung.variant for rung in whole.rungs}
    if left_out := [name for name in order if name not in scored]:
        note = f"No shard scored {', '.join(left_out)}: nothing is judged by them, and a whole run has them."
        given = given.model_copy(update={"notes": (*given.notes, note)})
    return whole.model_copy(update={"answer": given})


def _order(artefacts: Mapping[str, str], reference: str) -> list[str]:
    """Every rung of a whole run in its order; base and adapter come before the reference, which is scored first."""
    names = [name.removeprefix(_SCORES) for name in artefacts if name.startswith(_SCORES)]
    ends = [name for name in ("base", "adapter", reference) if name in names]
    return [*dict.fromkeys([*ends, *names])]


def _joined(part: str, ladders: Mapping[str, LadderRecord], order: Sequence[str]) -> tuple[Any, ...]:
    """The entries of all ladders by variant, each once; shards that scored the same must have found the same."""
    kept: dict[str, Any] = {}
    for name, ladder in ladders.items():
        for entry in getattr(ladder, part):
            if kept.setdefault(entry.variant, entry) != entry:
                raise InvalidInput(
                    f"{name}: {part} of {entry.variant} are not those of another shard: its artefacts were made "
                    "apart. Let all shards take them from one store (--build)."
                )
    rank = {name: position for position, name in enumerate(order)}
    return tuple(sorted(kept.values(), key=lambda entry: rank.get(entry.variant, len(rank))))
