"""Every tensor of recipe ``mlx-lm`` against stock mlx-lm, at every width and group size, on a profile's own model.

Ours is one pass for all targets. Stock is ``mlx_lm fuse --dequantize`` and one ``mlx_lm convert -q`` for each
target, in processes of their own that use the BLAS that ours uses: a delta is a product, and its last bit
depends on who multiplies.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console

from phase8.core.errors import InvalidInput
from phase8.core.machine import GB, disk_free_gb
from phase8.core.project import ROOT
from phase8.core.store import size_on_disk
from phase8.profile.terms import WIDTHS, GroupSize
from phase8.proofs.mlx_lm_cli import SAME_BLAS, stock_convert, stock_fuse
from phase8.quant.layout import Target
from phase8.stages.flow import Flow

if TYPE_CHECKING:
    from phase8.engine.integrity.same_folders import Sameness

_SHOWN = 5
_ALL_TARGETS = 20  # times the size of a base at 4 bits, roughly: floats twice, six widths at three group sizes


def prove_fuse(flow: Flow, console: Console) -> int:
    """Print one line for the floats and for each width and group size; 1 where a tensor or a file differs."""
    base, adapter = flow.path(flow.base), flow.path(flow.adapter)
    _require_disk(flow, base)
    targets = [Target(bits=None, group_size=64, recipe="mlx-lm")]
    targets += [Target(bits=b, group_size=g, recipe="mlx-lm") for b in WIDTHS for g in get_args(GroupSize)]
    tensors = different = 0
    with flow.store.workspace("prove") as work:
        for wanted, found in _compared(base, adapter, targets, work):
            tensors, different = tensors + found.tensors, different + bool(found.differences)
            console.print(_line(wanted, found), highlight=False, soft_wrap=True)
    said = f"{different} of {len(targets)} DIFFER" if different else "every one is equal"
    console.print(f"{flow.profile.name}: {len(targets)} folders, {tensors:,} tensors: {said}", highlight=False)
    return 1 if different else 0


def _compared(base: Path, adapter: Path, targets: list[Target], work: Path) -> Iterator[tuple[Target, "Sameness"]]:
    """Each target with what was found; a folder is deleted when it has been compared."""
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.integrity.same_folders import same_folders

    ours, floats, stock = work / "ours", work / "float", work / "stock"
    folders = [ours / f"{wanted.bits}-{wanted.group_size}" for wanted in targets]
    for folder in folders:
        folder.mkdir(parents=True)
    fuse(base, adapter, list(zip(targets, folders, strict=True)))
    _run(stock_fuse(base, adapter, floats, SAME_BLAS))
    for wanted, folder in zip(targets, folders, strict=True):
        if wanted.bits is not None:
            _run(stock_convert(floats, wanted.bits, wanted.group_size, stock, SAME_BLAS))
        yield wanted, same_folders(folder, floats if wanted.bits is None else stock)
        shutil.rmtree(folder)
        shutil.rmtree(stock, ignore_errors=True)


def _run(command: list[str]) -> None:
    """Run a command of stock mlx-lm to its end.

    Raises:
        RuntimeError: it failed; the end of its output is in the message.
    """
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"mlx_lm {command[3]} ended with {ran.returncode}:\n{ran.stdout.rstrip()[-1500:]}")


def _line(wanted: Target, found: "Sameness") -> str:
    what = f"{wanted.bits} bits in groups of {wanted.group_size:3}" if wanted.bits else "float".ljust(23)
    told = f"{what}: {found.tensors:4} tensors, {found.quantised:3} modules quantised: "
    if not found.differences:
        return told + "equal, config and index too"
    more = len(found.differences) - _SHOWN
    return told + "DIFFERS: " + "; ".join(found.differences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _require_disk(flow: Flow, base: Path) -> None:
    needed = _ALL_TARGETS * size_on_disk(base) / GB
    if needed > (free := disk_free_gb(flow.store.root)):
        raise InvalidInput(
            f"prove fuse: needs about {needed:.0f} GB of disk below {flow.store.root}, {free:.0f} GB are free. "
            "Choose another --build, or --profile pocket"
        )
