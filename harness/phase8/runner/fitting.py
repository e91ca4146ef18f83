"""Whether the stages of a run fit on this machine: what it lacks by the profile's needs and by estimate, in words."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from phase8.core.machine import GB, disk_free_gb, has_fast_quantised_kernels, this_machine
from phase8.core.store import size_on_disk
from phase8.core.values import Frozen
from phase8.runner.estimate import SLACK, Memory, usable_memory
from phase8.stages.external import hub_cache
from phase8.stages.flow import Flow

DOWNLOAD = "to be downloaded"


class PlannedStage(Frozen):
    """One line of a plan; ``kind`` is the stage without what it is made for. Sizes in GB, None where not known."""

    stage: str
    kind: str
    key: str
    state: str
    peak_gb: float | None
    disk_gb: float | None

    @property
    def is_left(self) -> bool:
        """Whether a run has it still before it."""
        return self.state not in ("built", "given")


def shortfalls(flow: Flow, stages: Sequence[PlannedStage]) -> list[str]:
    """What this machine lacks for these stages, one line each: what is needed, what there is, what to change."""
    here, needs, root = this_machine(), flow.profile.needs, flow.store.root
    lacking = []
    if here.memory_gb < needs.memory_gb:
        lacking.append(f"memory: needs {needs.memory_gb:g} GB, this machine has {here.memory_gb:g} GB")
    available = disk_free_gb(root) + (size_on_disk(root) / GB if root.exists() else 0)
    if available < needs.disk_gb:
        lacking.append(f"disk: needs {needs.disk_gb:g} GB below {root}, {available:.1f} GB can be had")
    if needs.fast_quantised_kernels and not has_fast_quantised_kernels():
        lacking.append(f"kernels: needs fast quantised kernels (Metal or CUDA), MLX computes on the {here.device} here")
    return [*lacking, *_lacking_memory(flow, _weighed(flow, stages)), *_lacking_disk(flow, stages)]


def remarks(flow: Flow, stages: Sequence[PlannedStage]) -> list[str]:
    """What does not keep a run from starting: memory that is tight, sizes not known, needs that say less."""
    memory = usable_memory()
    found = [
        f"memory is tight: {stage.stage} takes about {stage.peak_gb:.1f} GB, there are {memory.gb:.1f} GB {memory.what}"
        for stage in _largest(s for s in _weighed(flow, stages) if s.is_left and (s.peak_gb or 0) > memory.gb)
        if stage.peak_gb and stage.peak_gb <= memory.slack * memory.gb
    ]
    if unknown := [s.stage for s in stages if s.is_left and (s.peak_gb is None or s.disk_gb is None)]:
        found.append(
            f"not estimated: {_some(unknown)}: the size of a model is not known, as it is not on this machine or its "
            "files cannot be read. Set base.parameters, if it is the base"
        )
    return [*found, *_understated(flow, stages)]


def _weighed(flow: Flow, stages: Sequence[PlannedStage]) -> Sequence[PlannedStage]:
    """The stages whose memory counts: none where the kernels that the profile needs are missing.

    Estimates are then those of float32 on a CPU, which nobody wants to run it in.
    """
    return () if flow.profile.needs.fast_quantised_kernels and not has_fast_quantised_kernels() else stages


def _lacking_memory(flow: Flow, stages: Sequence[PlannedStage]) -> list[str]:
    """One line for each kind of stage, by the largest of it."""
    memory = usable_memory()
    over = [s for s in stages if s.is_left and s.peak_gb and s.peak_gb > memory.slack * memory.gb]
    lines = []
    for stage in _largest(over):
        others = sum(s.kind == stage.kind for s in over) - 1
        more = f" ({others} more are over too)" if others else ""
        lines.append(
            f"memory: {stage.stage} takes about {stage.peak_gb:.1f} GB{more}, there are {memory.gb:.1f} GB "
            f"{memory.what}: {_instead(flow, memory, stage.peak_gb or 0)}"
        )
    return lines


def _instead(flow: Flow, memory: Memory, needed_gb: float) -> str:
    """What to change where a stage takes too much memory."""
    here, declared = this_machine(), getattr(flow.profile.base, "parameters", None)
    ways = ["take a smaller model"]
    if here.device == "metal" and needed_gb < here.memory_gb:
        ways.append(f"raise the limit with `sudo sysctl iogpu.wired_limit_mb={round(needed_gb * GB / 2**20)}`")
    else:
        ways.append(f"use a machine with {needed_gb / (memory.gb / here.memory_gb):.0f} GB of memory")
    if declared:
        ways.append(f"correct base.parameters, {declared:,}, if the model has fewer")
    return ", or ".join(ways)


def _lacking_disk(flow: Flow, stages: Sequence[PlannedStage]) -> list[str]:
    """One line for each disk that is too small for what is to be built and downloaded on it."""
    places: dict[int, list[PlannedStage]] = defaultdict(list)
    roots: dict[int, Path] = {}
    for stage in sorted(stages, key=lambda stage: stage.state != DOWNLOAD):  # where both go, the build folder is named
        if stage.is_left and stage.disk_gb:
            folder = hub_cache() if stage.state == DOWNLOAD else flow.store.root
            places[_disk(folder)].append(stage)
            roots[_disk(folder)] = folder
    lines = []
    for disk, left in places.items():
        needed, free = sum(stage.disk_gb or 0 for stage in left), disk_free_gb(roots[disk])
        if needed > free:
            largest = max(left, key=lambda stage: stage.disk_gb or 0)
            lines.append(
                f"disk: {len(left)} stages that are left take about {needed:.1f} GB below {roots[disk]}, the largest "
                f"is {largest.stage} with {largest.disk_gb:.1f} GB; {free:.1f} GB are free: free space, name another "
                "folder with --build, or take widths out of fuse.widths"
            )
    return lines


def _disk(folder: Path) -> int:
    """The disk that holds a folder, or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev


def _understated(flow: Flow, stages: Sequence[PlannedStage]) -> list[str]:
    """Where ``[needs]`` says clearly less than the estimates."""
    needs, lines = flow.profile.needs, []
    largest = max(_weighed(flow, stages), key=lambda stage: stage.peak_gb or 0, default=None)
    if largest and (largest.peak_gb or 0) > SLACK * needs.memory_gb:
        lines.append(
            f"needs.memory_gb says {needs.memory_gb:g} GB, {largest.stage} takes about {largest.peak_gb:.1f} GB: "
            "correct it"
        )
    disk = sum(stage.disk_gb or 0 for stage in stages)
    if disk > SLACK * needs.disk_gb:
        lines.append(f"needs.disk_gb says {needs.disk_gb:g} GB, all stages take about {disk:.1f} GB: correct it")
    return lines


def _largest(stages: Iterable[PlannedStage]) -> list[PlannedStage]:
    """The stage of each kind that takes most memory."""
    found: dict[str, PlannedStage] = {}
    for stage in stages:
        if stage.kind not in found or (stage.peak_gb or 0) > (found[stage.kind].peak_gb or 0):
            found[stage.kind] = stage
    return list(found.values())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
