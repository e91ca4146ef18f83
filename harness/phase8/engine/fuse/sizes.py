"""What a model would take at each width in either recipe: read off shapes, nothing is computed or written."""

from collections.abc import Sequence
from pathlib import Path

from phase8.engine.fuse.recipe import plan
from phase8.engine.fuse.safetensors_writer import bytes_of_files
from phase8.profile.terms import GroupSize, Width
from phase8.quant.layout import Target
from phase8.record.ladder import RecipeSize


def recipe_sizes(base: Path, adapter: Path, widths: Sequence[Width], group_size: GroupSize) -> list[RecipeSize]:
    """The bytes of the weight files that fusing would write, to the byte.

    Raises:
        InvalidInput: base or adapter cannot be used, or recipe ``mlx-lm`` cannot write this base.
    """
    targets = [Target(bits=b, group_size=group_size, recipe=r) for b in widths for r in ("preserve", "mlx-lm")]
    sizes = [bytes_of_files(made.shapes) for made in plan(base, adapter, targets)]
    return [
        RecipeSize(bits=bits, preserve_bytes=kept, mlx_lm_bytes=stock)
        for bits, kept, stock in zip(widths, sizes[::2], sizes[1::2], strict=True)
    ]
