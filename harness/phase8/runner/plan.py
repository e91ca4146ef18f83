"""What a run would do: each stage, whether it is built, what it takes, and whether this machine qualifies.

A plan looks and writes nothing: no lock, no hash, no folder.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from phase8.core.artefact import Step
from phase8.core.errors import InvalidInput
from phase8.core.machine import GB, disk_free_gb, this_machine
from phase8.core.store import size_on_disk
from phase8.runner.estimate import download_gb, peaks_gb
from phase8.runner.fitting import DOWNLOAD, PlannedStage, remarks, shortfalls
from phase8.stages.external import External, not_fetched
from phase8.stages.flow import Flow
from phase8.stages.training import Source
from phase8.survival.stage import all_steps


def leading_to(flow: Flow, targets: Sequence[Source]) -> list[Source]:
    """These stages and all that they are made from, in the order of a run."""
    order = {source.key: source for source in [*all_steps(flow), *targets]}
    reached, todo = set[str](), [target.key for target in targets]
    while todo:
        key = todo.pop()
        if key in order and key not in reached:
            reached.add(key)
            todo += _made_from(order[key])
    return [source for key, source in order.items() if key in reached]


def _made_from(source: Source) -> list[str]:
    """The keys among a step's inputs; that of a variant joins those of its folder and its adapter."""
    inputs = source.inputs.values() if isinstance(source, Step) else ()
    return [key for value in inputs if isinstance(value, str) for key in value.split("+")]


def plan(flow: Flow, sources: Sequence[Source] | None = None) -> list[PlannedStage]:
    """These stages, or all of a run, in order."""
    sources = all_steps(flow) if sources is None else sources
    peaks, lacking = peaks_gb(flow, sources), not_fetched(flow.located)
    return [
        _built(flow, source, peaks[source.key]) if isinstance(source, Step) else _given(flow, source, lacking)
        for source in sources
    ]


def _given(flow: Flow, source: External, lacking: Sequence[str]) -> PlannedStage:
    """A model made elsewhere: on this machine, or to be downloaded."""
    state, disk = (DOWNLOAD, download_gb(flow, source.name)) if source.name in lacking else ("given", 0.0)
    name = f"given: {source.name}"
    return PlannedStage(stage=name, kind="given", key=source.key, state=state, peak_gb=0, disk_gb=disk)


def _built(flow: Flow, step: Step, peak_gb: float | None) -> PlannedStage:
    """A step of ours and how far it is."""
    found = flow.store.find(step)
    interrupted = step.resumable and flow.store.partial(step).exists()
    return PlannedStage(
        stage=f"{step.stage} {step.note}".strip(),
        kind=step.stage,
        key=step.key,
        state="built" if found else "interrupted, goes on" if interrupted else "to build",
        peak_gb=peak_gb,
        disk_gb=size_on_disk(found) / GB if found else step.disk_gb,
    )


def require_machine(flow: Flow, sources: Sequence[Source] | None = None) -> None:
    """Refuse to start what this machine cannot finish: these stages, or all of a run.

    Raises:
        InvalidInput: memory, disk or kernels are missing; all of them are named.
    """
    stages = plan(flow, sources)
    if lacking := shortfalls(flow, stages):
        raise InvalidInput(
            f"profile {flow.profile.name} cannot run on this machine:\n  "
            + "\n  ".join([*lacking, *remarks(flow, stages)])
            + "\nSee all it takes with --plan; `smollm2` and `pocket` run on any machine."
        )


def show(flow: Flow, console: Console, sources: Sequence[Source] | None = None) -> bool:
    """Print the plan; whether this machine qualifies."""
    profile, stages = flow.profile, plan(flow, sources)
    table = Table(title=escape(f"Plan of profile {profile.name}: {profile.description}"), title_justify="left")
    for name in ("stage", "artefact", "state", "peak memory, about", "disk"):
        table.add_column(name, justify="right" if name.startswith(("peak", "disk")) else "left")
    for stage in stages:
        peak, disk = _gb(stage.peak_gb, 1), _gb(stage.disk_gb, 2)
        table.add_row(escape(stage.stage), stage.key, stage.state, peak, disk)
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
    lacking = shortfalls(flow, stages)
    console.print("[green]this machine qualifies[/]" if not lacking else "[red]this machine does not qualify[/]")
    for line in [*lacking, *remarks(flow, stages)]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    return not lacking


def _gb(size: float | None, digits: int) -> str:
    return "not known" if size is None else f"{size:.{digits}f} GB"
