"""Whether every code of a fused folder is Q(W + delta), recomputed from base and adapter.

The folder need not be ours: how each module is quantised is read from its own tensors and config, and
exactly that is recomputed (``survey``). Everything is compared bit by bit in one streaming pass, for several
folders at once; tensors that differ are looked at again to say how (``mismatch``), and whether it is rounding.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from phase8.core.file_hashes import FileHashes
from phase8.core.folder_key import folder_key
from phase8.core.progress import Amount
from phase8.engine.fuse.float_model import merge
from phase8.engine.fuse.kernels import quantise_all
from phase8.engine.fuse.pipeline import BLOCK, pipelined, spans
from phase8.engine.fuse.recipe import Way
from phase8.engine.integrity.folder import read_fused
from phase8.engine.integrity.mismatch import Suspect, explain
from phase8.engine.integrity.quantised import same_bits
from phase8.engine.integrity.survey import Claim, Survey, refusal, settings, survey
from phase8.record.integrity import FolderIntegrity, ModuleIntegrity


def integrity(
    base: Path, adapter: Path, folders: Sequence[Path], hashes: FileHashes | None = None
) -> list[FolderIntegrity]:
    """Judge fused folders by the base and the adapter that they were made from.

    Args:
        base: an mlx-lm model folder, quantised in any mode or not.
        adapter: an adapter folder in mlx-lm's format that fits it.
        folders: model folders, ours or fused elsewhere.

    Raises:
        InvalidInput: base, adapter or a folder cannot be used, or a module is quantised in a way that is not
            recomputed (nvfp4 with a scale for the whole tensor, unless the base's own).
    """
    judged, wrong = _recomputed(base, adapter, folders)
    for suspect, found in explain(base, adapter, folders, sorted(wrong)):
        judged[suspect.folder][suspect.path] = _worse(judged[suspect.folder][suspect.path], found)
    return [
        FolderIntegrity(
            base_key=folder_key(base, hashes),
            adapter_key=folder_key(adapter, hashes),
            folder_key=folder_key(folder, hashes),
            modules=tuple(modules.values()),
            settings=settings(base, folder) or (refusal(folder) if _all_right(modules) else ()),
        )
        for folder, modules in zip(folders, judged, strict=True)
    ]


def _all_right(modules: dict[str, ModuleIntegrity]) -> bool:
    return all(module.outcome in ("equal", "rounding") for module in modules.values())


def _recomputed(
    base: Path, adapter: Path, folders: Sequence[Path]
) -> tuple[list[dict[str, ModuleIntegrity]], set[Suspect]]:
    """The modules of each folder as names and shapes judge them, and the tensors that are nothing they may be."""
    surveys = _surveys(base, adapter, folders, 0, [None] * len(folders))
    judged, wrong, rank = [survey.judged for survey in surveys], set[Suspect](), 0
    while surveys:
        more = [survey.more for survey in surveys]
        differing = _compare([claim for survey in surveys for claim in survey.taken()])
        again = [{s.path for s in differing if s.folder == number} & paths for number, paths in enumerate(more)]
        wrong |= {suspect for suspect in differing if suspect.path not in again[suspect.folder]}
        rank += 1
        surveys = _surveys(base, adapter, folders, rank, again) if any(again) else []
    return judged, wrong


def _surveys(
    base: Path, adapter: Path, folders: Sequence[Path], rank: int, only: Sequence[set[str] | None]
) -> list[Survey]:
    """Everything about the folders but the values; files are opened anew, so that nothing read stays in memory."""
    merged = merge(base, adapter)
    return [
        survey(merged, read_fused(folder, merged.model), number, rank, only[number])
        for number, folder in enumerate(folders)
    ]


def _worse(known: ModuleIntegrity, found: dict[str, Any]) -> ModuleIntegrity:
    """A module with what was found out about one more of its tensors; the worse outcome counts."""
    merged = known.model_copy(update=found)
    return merged if merged.rank < known.rank else known


def _compare(claims: list[Claim]) -> set[Suspect]:
    """The tensors whose bits are others than recomputed; claims are used up."""
    jobs: dict[int, list[Claim]] = {}
    for claim in claims:
        jobs.setdefault(id(claim.source), []).append(claim)
    claims.clear()
    queue, wrong = deque(jobs.values()), set[Suspect]()
    del jobs
    with Amount("comparing", len(queue)) as amount:
        last = len(queue)
        for part in pipelined(_parts(queue), lambda part: [array for _, array in part]):
            wrong |= {suspect for suspect, array in part if array.item()}
            amount.add(last - len(queue))
            last = len(queue)
    return wrong


def _parts(queue: deque[list[Claim]]) -> Iterator[Callable[[], list[tuple[Suspect, mx.array]]]]:
    """The comparisons in blocks; claims are forgotten when their last block has begun."""
    while queue:
        claims = queue.popleft()
        for start, stop in spans(claims[0].source.shape, BLOCK):
            yield partial(_block, claims, start, stop)


def _block(claims: list[Claim], start: int, stop: int) -> list[tuple[Suspect, mx.array]]:
    """For each claim, whether a bit of the block differs; not yet computed."""
    weights = claims[0].source.block(start, stop)
    ways: dict[tuple[mx.Dtype, Way], tuple[mx.array, ...]] = {}
    for dtype in {_dtype(claim, weights) for claim in claims}:
        wanted = list(dict.fromkeys(c.way for c in claims if c.way and _dtype(c, weights) == dtype))
        for way, tensors in zip(wanted, quantise_all(weights.astype(dtype), wanted), strict=True):
            ways[dtype, way] = tensors
    compared = []
    for claim in claims:
        dtype = _dtype(claim, weights)
        expected = ways[dtype, claim.way] if claim.way else (weights.astype(dtype),)
        pairs = zip(expected, claim.found, strict=True)
        unlike = [mx.any(~same_bits(ours, theirs.block(start, stop))) for ours, theirs in pairs]
        compared.append((Suspect(claim.folder, claim.path, claim.name), mx.any(mx.stack(unlike))))
    return compared


def _dtype(claim: Claim, weights: mx.array) -> mx.Dtype:
    """The dtype that the folder's weights had before quantising; scales of other modes than affine do not tell."""
    if claim.way and claim.way.mode != "affine":
        return weights.dtype
    return claim.found[1 if claim.way else 0].array.dtype
