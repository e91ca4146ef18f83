"""Whether a fused folder is the one that was asked for: integrity takes the width of every module from the folder."""

from collections.abc import Sequence
from pathlib import Path

from phase8.engine.arrays import load_arrays
from phase8.engine.fuse.recipe import plan
from phase8.quant.layout import Target


def not_as_asked(base: Path, adapter: Path, wanted: Sequence[tuple[Target, Path]]) -> list[tuple[str, ...]]:
    """For each target and folder a sentence on tensors that fusing would write otherwise; nothing where there are none.

    Names, shapes and dtypes are compared, which differ with the width and mostly with group size and recipe.

    Raises:
        InvalidInput: base or adapter cannot be used.
    """
    plans = plan(base, adapter, [target for target, _ in wanted])
    found: list[tuple[str, ...]] = []
    for made, (target, folder) in zip(plans, wanted, strict=True):
        asked = {shape.name: (shape.shape, shape.dtype) for shape in made.shapes}
        unlike = sorted(name for name, _ in asked.items() ^ _held(folder))
        said = f"{len(set(unlike))} tensors are not those of {target} in groups of {target.group_size}, "
        found.append((said + f"recipe {target.recipe}, first {unlike[0]}",) if unlike else ())
    return found


def _held(folder: Path) -> set[tuple[str, tuple]]:
    """Names, shapes and dtypes of a folder's tensors."""
    arrays = [load_arrays(file).arrays for file in sorted(folder.glob("model*.safetensors"))]
    return {(name, (tuple(array.shape), array.dtype)) for held in arrays for name, array in held.items()}
