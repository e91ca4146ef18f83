"""What every command begins with: the store and the flow that its options name, and where it speaks."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from phase8.core.errors import InvalidInput
from phase8.core.store import Store
from phase8.profile import loading
from phase8.runner import plan
from phase8.stages.external import External
from phase8.stages.flow import Flow
from phase8.stages.training import Source

# Off a terminal (a CI log) rich assumes 80 columns, which folds the table of variants.
CONSOLE = Console() if sys.stdout.isatty() else Console(width=150)
ERRORS = Console(stderr=True)


Wanted = Callable[[Flow], Sequence[Source]]


def say(text: str) -> None:
    """A line on standard error."""
    ERRORS.print(text, highlight=False)


def store_of(options: argparse.Namespace) -> Store:
    """The store below ``--build``, which says on standard error what it builds."""
    return Store(options.build, say)


def flow_of(options: argparse.Namespace) -> Flow:
    """The flow of the profile that is named, or of the default one."""
    return Flow(loading.load(options.profile or loading.DEFAULT), store_of(options))


def ready_flow(options: argparse.Namespace, wanted: Wanted | None = None) -> Flow:
    """The flow of a profile whose hub models are on this machine, so that no key changes when they arrive.

    ``wanted`` names what a command is about to make of it; without it that is all of a run.

    Raises:
        InvalidInput: models are to be fetched, and this machine cannot make what is wanted of them.
    """
    from phase8.stages.external import fetch_hub_models, not_fetched

    flow = flow_of(options)
    if not getattr(options, "plan", False) and not_fetched(flow.located):
        plan.require_machine(flow, plan.leading_to(flow, wanted(flow)) if wanted else None)
        fetch_hub_models(flow.located)
    return flow


def trainable_flow(options: argparse.Namespace, wanted: Wanted) -> Flow:
    """A ready flow that trains.

    Raises:
        InvalidInput: its profile brings an adapter or models along.
    """
    flow = flow_of(options)
    if not flow.profile.training:
        raise InvalidInput(
            f"{flow.located.path}: [training] is missing; this profile brings its adapter or models along"
        )
    return ready_flow(options, wanted)


def planned_only(flow: Flow, targets: Sequence[Source], options: argparse.Namespace) -> int | None:
    """With --plan print what these stages take, and the exit code; without it see that this machine can make them.

    Raises:
        InvalidInput: it cannot.
    """
    sources = plan.leading_to(flow, targets)
    if options.plan:
        return 0 if plan.show(flow, CONSOLE, sources) else 2
    plan.require_machine(flow, sources)
    return None


def ensure(flow: Flow, source: Source) -> Path:
    """Find or build one artefact and say which of the two it was."""
    if not isinstance(source, External) and flow.store.find(source):
        ERRORS.print(f"found {source.stage} {source.key}", highlight=False)
    return flow.path(source)
