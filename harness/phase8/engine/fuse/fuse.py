"""Fuse an adapter into its base and write the result at several widths, in one pass of bounded memory."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mlx_lm.utils import create_model_card, save_config

from phase8.core.model_files import take_over
from phase8.engine.fuse.one_pass import write_folders
from phase8.engine.fuse.recipe import Plan, plan
from phase8.engine.load.tokenizer import read_tokenizer
from phase8.quant.layout import Target, target


def fuse(base: Path, adapter: Path, wanted: Sequence[tuple[Target, Path]]) -> None:
    """Write base + adapter for each target into its folder.

    Tokenizer and chat templates are the base's own files, byte for byte. ``config.json`` comes last: a folder that has
    none was interrupted.

    Args:
        base: an mlx-lm model folder, quantised in any mode or not.
        adapter: an adapter folder in mlx-lm's format that fits it.
        wanted: targets, each with an existing folder.

    Raises:
        InvalidInput: base or adapter cannot be used, or a layer cannot be fused or quantised as wanted.
    """
    read_tokenizer(base)  # one that cannot be used is refused before the weights are read
    plans = plan(base, adapter, [target for target, _ in wanted])
    folders = [folder for _, folder in wanted]
    write_folders(plans, folders)
    for made, folder in zip(plans, folders, strict=True):
        _finish(made, base, folder)


def main() -> None:
    """Fuse as the JSON argument says: base, adapter, and [bits, group size, recipe, folder] of each target."""
    spec = json.loads(sys.argv[1])
    wanted = [(target(*settings), Path(folder)) for *settings, folder in spec["targets"]]
    for _, folder in wanted:
        folder.mkdir(parents=True)
    fuse(Path(spec["base"]), Path(spec["adapter"]), wanted)


def _finish(made: Plan, base: Path, folder: Path) -> None:
    """The base's own files, mlx-lm's model card, and the config."""
    take_over(base, folder)
    create_model_card(folder, None)
    save_config(made.config, folder / "config.json", keep_vision_config=made.keep_vision_config)


if __name__ == "__main__":
    main()
