"""What a run would do: each stage, whether it is built, what it takes, and whether this machine qualifies."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import InvalidInput
from harness.external import External
from harness.flow import Flow
from harness.frozen import Frozen
from harness.machine import GB, disk_free_gb, has_fast_quantised_kernels, this_machine
from harness.profile import Profile
from harness.store import Step, size_on_disk
from harness.survival_stage import all_steps


class PlannedStage(Frozen):
    """One line of a plan; sizes in GB. Estimates are rough: the probe measures."""

    stage: str
    key: str
    state: str
    peak_gb: float
    disk_gb: float


def shortfalls(profile: Profile, flow: Flow) -> list[str]:
    """What this machine lacks for the profile, one line each."""
    here, needs = this_machine(), profile.needs
    lacking = []
    if here.memory_gb < needs.memory_gb:
        lacking.append(f"memory: needs {needs.memory_gb:g} GB, this machine has {here.memory_gb:g} GB")
    available = disk_free_gb(flow.store.root) + (size_on_disk(flow.store.root) / GB if flow.store.root.exists() else 0)
    if available < needs.disk_gb:
        lacking.append(f"disk: needs {needs.disk_gb:g} GB below {flow.store.root}, {available:.1f} GB can be had")
    if needs.fast_quantised_kernels and not has_fast_quantised_kernels():
        lacking.append(f"kernels: needs fast quantised kernels (Metal or CUDA), MLX computes on the {here.device} here")
    return lacking


def require_machine(flow: Flow) -> None:
    """Refuse to start what this machine cannot finish.

    Raises:
        InvalidInput: memory, disk or kernels are missing; all of them are named.
    """
    if lacking := shortfalls(flow.profile, flow):
        raise InvalidInput(
            f"profile {flow.profile.name} cannot run on this machine:\n  "
            + "\n  ".join(lacking)
            + "\nSee all it takes with --plan; `smollm2` and `pocket` run on any machine."
        )


def plan(flow: Flow, only: list[str] | None = None) -> list[PlannedStage]:
    """The stages of a run in order."""
    stages = []
    for source in all_steps(flow, only or ()):
        if isinstance(source, External):
            stages.append(
                PlannedStage(stage=f"given: {source.name}", key=source.key, state="given", peak_gb=0, disk_gb=0)
            )
            continue
        found = flow.store.find(source)
        partial = (flow.store.root / ".partial" / f"{source.stage}-{source.key}").exists()
        state = "built" if found else "interrupted, goes on" if partial and source.resumable else "to build"
        disk = size_on_disk(found) / GB if found else source.disk_gb
        peak = estimated_peak_gb(flow.profile, source)
        stages.append(
            PlannedStage(
                stage=f"{source.stage} {source.note}".strip(), key=source.key, state=state, peak_gb=peak, disk_gb=disk
            )
        )
    return stages


def estimated_peak_gb(profile: Profile, step: Step) -> float:
    """A rough peak of process memory in GB: weights as they are held, and a third of them again in training.

    Fusing holds a few tensors at a time, whatever the size of the model.

    The factors reproduce what was measured: 1.2 GB for SmolLM2 in float32 on a CPU, 23 GB for the 30 B model.
    """
    parameters = getattr(profile.base, "parameters", None) or 0
    held = 4.8 if has_fast_quantised_kernels() else 32
    weights = parameters * held / 8 / GB
    if step.stage in ("probe", "adapter"):
        return 1.25 * weights + 0.5
    return weights + 0.3 if step.stage in ("replies", "scores") else 0.5


def show(flow: Flow, console: Console, only: list[str] | None = None) -> bool:
    """Print the plan; whether this machine qualifies."""
    profile = flow.profile
    table = Table(title=escape(f"Plan of profile {profile.name}: {profile.description}"), title_justify="left")
    for name in ("stage", "artefact", "state", "peak memory, about", "disk"):
        table.add_column(name, justify="right" if name.startswith(("peak", "disk")) else "left")
    for stage in plan(flow, only):
        table.add_row(escape(stage.stage), stage.key, stage.state, f"{stage.peak_gb:.1f} GB", f"{stage.disk_gb:.2f} GB")
    console.print(table)
    here, needs = this_machine(), profile.needs
    console.print(
        f"needs  {needs.memory_gb:g} GB memory, {needs.disk_gb:g} GB disk"
        + (", fast quantised kernels (Metal or CUDA)" if needs.fast_quantised_kernels else "")
    )
    console.print(
        f"here   {here.chip}, {here.cores} cores, {here.memory_gb:g} GB memory, "
        f"{disk_free_gb(flow.store.root):.0f} GB disk free, MLX on {here.device}"
    )
    lacking = shortfalls(profile, flow)
    console.print("[green]this machine qualifies[/]" if not lacking else "[red]this machine does not qualify[/]")
    for line in lacking:
        console.print(f"  {line}", markup=False)
    return not lacking
