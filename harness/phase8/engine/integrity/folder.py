"""A fused folder as it is: its tensors, and how each module is quantised by its tensors and by its config."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.utils import infer_quant_config, load_config

from phase8.core.errors import InvalidInput
from phase8.engine.arrays import load_arrays
from phase8.engine.fuse.recipe import Way
from phase8.engine.load.models import check_model_folder
from phase8.record.integrity import Outcome

_BITS, _GROUPS = (2, 3, 4, 5, 6, 8), (16, 32, 64, 128)

_DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}  # MLX's, by mode


class FaultError(Exception):
    """What names and shapes already say of a module, and why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome


@dataclass(frozen=True, eq=False)
class FusedFolder:
    """The arrays of all weight files by name, not yet in memory, and the config."""

    folder: Path
    arrays: dict[str, mx.array]
    config: dict[str, Any]

    def way(self, path: str, module: nn.Module) -> Way | None:
        """How the tensors of a module are quantised; None for floats.

        Args:
            path: the module's name.
            module: the module of the float model, whose weight says the shape.

        Raises:
            FaultError: codes and scales do not fit each other or the weight.
        """
        weight, scales = self.arrays.get(f"{path}.weight"), self.arrays.get(f"{path}.scales")
        if weight is None or scales is None:
            return None
        try:
            way = Way(**infer_quant_config(path, module, self.arrays))
        except (ValueError, ZeroDivisionError) as error:
            raise FaultError("shape", f"wrong shape: {error}") from error
        shape = module["weight"].shape
        codes = (*shape[:-1], shape[-1] * way.bits // 32)
        groups = (*shape[:-1], shape[-1] // way.group_size)
        known = way.bits in _BITS and way.group_size in _GROUPS
        if not known or weight.shape != codes or scales.shape != groups:
            raise FaultError(
                "shape", f"wrong shape: codes {weight.shape} and scales {scales.shape} of a weight {shape}"
            )
        return way

    def contradiction(self, path: str, way: Way | None) -> str | None:
        """What the config says of a module in words, if that is not how its tensors are quantised.

        A module that stayed float needs no word in the config; a quantised one is read with the config's.
        """
        said = self._said(path)
        if said is None or (way is None and said.default):
            return None
        if said.way == way:
            return None
        return f"the config says {_words(said.way)}, the tensors are {_words(way)}"

    def _said(self, path: str) -> "_Said | None":
        """What the config says; None where it does not speak mlx-lm's language."""
        settings = self.config.get("quantization")
        if not settings and (self.config.get("quantization_config") or {}).get("quant_method"):
            return None
        if not settings:
            return _Said(None, default=False)
        if "bits" not in settings or "group_size" not in settings:
            return None
        own = settings.get(path, settings)
        if not own:  # false, or empty
            return _Said(None, default=False)
        named = own is not settings and isinstance(own, dict)
        said = own if named else settings  # a module's own leaves nothing to the settings of the whole
        mode = said.get("mode", "affine")
        group_size, bits = _DEFAULTS.get(mode, (0, 0))
        way = Way(said.get("group_size") or group_size, said.get("bits") or bits, mode)
        return _Said(way, default=not named)


class _Said(NamedTuple):
    way: Way | None
    default: bool


def read_fused(folder: Path, model: nn.Module) -> FusedFolder:
    """The folder with its tensors under the names that loading gives them.

    Raises:
        InvalidInput: it is no complete model folder.
    """
    check_model_folder(folder)
    arrays: dict[str, mx.array] = {}
    try:
        for file in sorted(folder.glob("model*.safetensors")):
            found = load_arrays(file).arrays
            _refuse_twice(folder, file.name, arrays.keys() & found.keys())
            arrays |= found
        config = load_config(folder)
    except (RuntimeError, ValueError) as error:
        raise InvalidInput(f"{folder}: cannot be read: {error}. Fuse again") from error
    return FusedFolder(folder, _as_loaded(arrays, model), config)


def _refuse_twice(folder: Path, file: str, names: set[str]) -> None:
    """Loading takes files in the order of the disk, so that nobody knows which of two tensors counts."""
    if names:
        raise InvalidInput(
            f"{folder}: {len(names)} tensors of {file} are in another file too, first {min(names)}. "
            "Delete the files of an earlier model"
        )


def _as_loaded(arrays: dict[str, mx.array], model: nn.Module) -> dict[str, mx.array]:
    """What ``model.sanitize`` leaves of the names and adds to them; tensors under names of their own as stored."""
    if not hasattr(model, "sanitize"):
        return arrays
    try:
        loaded = model.sanitize(dict(arrays))
    except (KeyError, ValueError, IndexError):  # it reaches for a tensor that is missing, which is reported by name
        return arrays
    return {name: arrays.get(name, array) for name, array in loaded.items()}


def _words(way: Way | None) -> str:
    if way is None:
        return "float"
    return f"{way.bits} bits in groups of {way.group_size}" + ("" if way.mode == "affine" else f" ({way.mode})")
