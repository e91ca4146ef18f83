"""The ladder of a run: its artefacts found or made, read, and put together as they are recorded."""

from collections.abc import Callable, Sequence
from pathlib import Path

from phase8.core.file_hashes import FileHashes
from phase8.core.folder_key import folder_key
from phase8.record.integrity import FolderDelta, FolderIntegrity
from phase8.record.ladder import FolderCheck, FolderDiagnosis, LadderRecord, RecipeSize, RecipeSizes
from phase8.record.run import Reply
from phase8.record.scores import read_scores
from phase8.stages.flow import Variant
from phase8.survival.ladder import Rung, ladder
from phase8.survival.stage import ADAPTER, DELTA, INTEGRITY, SIZES, SurvivalStage

_FAULTS_KEPT = 20


def run_ladder(
    stage: SurvivalStage, only: Sequence[str], replies_of: Callable[[str], Sequence[Reply]]
) -> LadderRecord | None:
    """Score and check what judging the named variants takes; None where no fused variant is among them.

    Args:
        stage: the ladder's steps.
        only: the judged variants; empty is all.
        replies_of: the whole replies of a variant that the profile judges.
    """
    rungs, hashes = stage.needed(only), stage.flow.store.hashes
    if not rungs:
        return None
    stage.flow.fused_together(stage.fused_steps(only))
    judged = set(stage.flow.profile.variant_names())
    asked = judged & {*only, ADAPTER} if only else judged  # a partial run asks no more of the others than it must
    found = ladder(
        [_rung(stage, rung, replies_of(rung.name) if rung.name in asked else None) for rung in rungs],
        stage.reference.variant.name,
        stage.reference.reason,
        replies_of(ADAPTER),
        stage.settings.recovery_floor,
    )
    checked = {name: _read(path) for name, path in stage.survived_together(only).items()}
    folders = {rung.name: stage.flow.path(rung.folder) for rung in rungs}
    bits = {rung.name: rung.bits for rung in rungs}
    return found.model_copy(
        update={
            "checks": tuple(_check(name, one, folders[name], hashes) for name, (one, _) in checked.items() if one),
            "diagnoses": tuple(
                FolderDiagnosis(variant=name, bits=bits[name], modules=left.modules)
                for name, (_, left) in checked.items()
                if left
            ),
            "recipe_sizes": _sizes(stage) if stage.other_recipe in rungs else (),
        }
    )


def _rung(stage: SurvivalStage, rung: Variant, replies: Sequence[Reply] | None) -> Rung:
    return Rung(rung.name, rung.kind, rung.bits, read_scores(stage.flow.path(stage.scores(rung))), replies)


def _read(artefact: Path) -> tuple[FolderIntegrity | None, FolderDelta | None]:
    """Whichever of both was made of a folder: integrity is asked of judged ones, what is left of the delta of codes."""
    checked, left = artefact / INTEGRITY, artefact / DELTA
    return (
        FolderIntegrity.model_validate_json(checked.read_text(encoding="utf-8")) if checked.is_file() else None,
        FolderDelta.model_validate_json(left.read_text(encoding="utf-8")) if left.is_file() else None,
    )


def _sizes(stage: SurvivalStage) -> tuple[RecipeSize, ...]:
    stored = (stage.flow.path(stage.sizes) / SIZES).read_text(encoding="utf-8")
    return RecipeSizes.model_validate_json(stored).widths


def _check(name: str, found: FolderIntegrity, folder: Path, hashes: FileHashes) -> FolderCheck:
    """The check of a folder; it holds only as long as the folder's contents are the ones that were compared."""
    return FolderCheck(
        variant=name,
        outcome=found.outcome,
        modules=len(found.modules),
        equal=len(found.modules) - len(found.faults),
        rounding=sum(module.outcome == "rounding" for module in found.modules),
        faults=found.faults[:_FAULTS_KEPT],
        settings=found.settings,
        unchanged=found.folder_key == folder_key(folder, hashes),
    )
