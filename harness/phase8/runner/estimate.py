"""What the stages of a run take, by estimate, and what this machine can give; nothing is loaded or measured.

An estimate is the weights as they are held, a quarter of them again in training, on a CPU the keys and values of whole
batches while they are asked, and a constant. Measured on a CPU in float32: SmolLM2 1.2 GB in training and 2.0 GB asked,
pocket 0.24 GB asked; on Metal the 30 B model 23 GB in training, 20 GiB asked at 5 bits and 30 GiB at 8. Prompts are not
looked at. So a stage is refused only where its estimate is more than ``slack`` times what there is, and called tight up
to there: the probe measures.
"""

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from phase8.core.artefact import Step
from phase8.core.machine import GB, has_fast_quantised_kernels, this_machine
from phase8.core.weight_files import Weights, weights_of
from phase8.profile.sections import ModelBase
from phase8.stages.external import local_folder
from phase8.stages.flow import Flow, Variant
from phase8.stages.training import Source
from phase8.survival.stage import SurvivalStage

SLACK = 1.1  # of memory: an estimate is too high by no more, where the number of parameters is right
WIRED_SLACK = 1.5  # of Metal's wired limit: MLX itself goes on to here, slowly
_WIRED_SHARE = 0.75  # of memory, where no limit is set
_UNKNOWN_BITS = 4.8  # a model in 4 bits, some of its layers in more
_FEW = 0.5  # GB, for what holds no model
_ASKING = 0.3  # GB, for Python and MLX while a model is asked
_BATCHES, _BATCHES_OF_SMALL = 1.2, 2.5  # GB of a batch's keys and values on a CPU; at most so many times the weights


class Memory(NamedTuple):
    """What a process can have of this machine's memory in GB, what that is, and how far above it is clearly over."""

    gb: float
    what: str
    slack: float


def usable_memory() -> Memory:
    """Physical memory; on Metal the wired limit, since a GPU can use no more of it without paging.

    The limit is what ``sysctl iogpu.wired_limit_mb`` says. Where that is 0, as it comes, it is taken for three
    quarters of memory: MLX knows it as ``max_recommended_working_set_size``, which cannot be read without importing it.
    """
    here = this_machine()
    if here.device != "metal":
        told = "of memory" if here.device == "cpu" else "of the host's memory (the GPU's is not read)"
        return Memory(here.memory_gb, told, SLACK)
    if limit := _wired_limit_mb():
        return Memory(limit * 2**20 / GB, "of memory for the GPU (iogpu.wired_limit_mb)", WIRED_SLACK)
    gb = _WIRED_SHARE * here.memory_gb
    return Memory(gb, "of memory for the GPU (its wired limit, taken for 3/4 of memory)", WIRED_SLACK)


def _wired_limit_mb() -> int:
    """The limit that a user has set, in MiB; 0 where there is none."""
    try:
        asked = subprocess.run(["sysctl", "-n", "iogpu.wired_limit_mb"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    return int(asked.stdout) if asked.stdout.strip().isdigit() else 0


def peaks_gb(flow: Flow, sources: Sequence[Source]) -> dict[str, float | None]:
    """The peak memory of each step by its key, in GB and for one process; None where a model's size is not known."""
    asked = {flow.replies(variant).key: variant for variant in flow.variants()}
    if flow.profile.survival:
        ladder = SurvivalStage(flow)
        asked |= {ladder.scores(rung).key: rung for rung in ladder.rungs}
    return {step.key: _peak_gb(flow, step, asked) for step in sources if isinstance(step, Step)}


def answering_gb(flow: Flow, variant: Variant) -> float | None:
    """The peak of a process that asks or scores one variant, in GB."""
    size = _size(flow, variant)
    if size is None:
        return None
    batches = 0.0 if has_fast_quantised_kernels() else min(_BATCHES, _BATCHES_OF_SMALL * size)
    return size + batches + _ASKING


def _peak_gb(flow: Flow, step: Step, asked: dict[str, Variant]) -> float | None:
    if step.stage in ("probe", "adapter"):
        size = _size(flow, flow.variant("base"))
        return None if size is None else 1.25 * size + _FEW
    return answering_gb(flow, asked[step.key]) if step.key in asked else _FEW


def _size(flow: Flow, variant: Variant) -> float | None:
    """The weights of a variant as they are held, in GB: as shipped where that is fast, else in float32."""
    weights = _weights(flow, variant)
    if weights is None:
        return None
    bits = weights.bits if has_fast_quantised_kernels() else 32.0
    return weights.parameters * bits / 8 / GB


def _weights(flow: Flow, variant: Variant) -> Weights | None:
    if variant.kind == "ready":
        named = {model.name: model.path for model in flow.profile.models}
        folder = local_folder(flow.located, named[variant.name])
        return weights_of(folder) if folder else None
    base = base_weights(flow)
    if base is None or variant.kind in ("base", "adapter"):
        return base
    per_weight = 16.0 if variant.bits is None else variant.bits + 32 / (variant.group_size or 64)
    return Weights(base.parameters, per_weight)


def base_weights(flow: Flow) -> Weights | None:
    """The base by what the profile says of it, and by its files where they are on this machine."""
    base = flow.profile.base
    folder = local_folder(flow.located, base.model) if isinstance(base, ModelBase) else None
    found = weights_of(folder) if folder else None
    declared = base.parameters if base else None
    if declared is None:
        return found
    return Weights(declared, found.bits if found else _UNKNOWN_BITS)


def download_gb(flow: Flow, name: str) -> float | None:
    """What a hub model takes on disk, in GB: its parameters at the width in its name, else 16 bits; None if unknown."""
    base = flow.profile.base
    if not isinstance(base, ModelBase) or base.model != name or base.parameters is None:
        return None
    width = re.search(r"(?<!\d)([2-8])-?bit", name, re.IGNORECASE)
    return base.parameters * (int(width[1]) + 0.5 if width else 16.0) / 8 / GB
