"""What every command begins with: the store and the flow that its options name, and where it speaks."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from harness import plan, profile
from harness.errors import InvalidInput
from harness.external import External
from harness.flow import Flow, Source
from harness.store import Store

# Off a terminal (a CI log) rich assumes 80 columns, which folds the table of variants.
CONSOLE = Console() if sys.stdout.isatty() else Console(width=150)
ERRORS = Console(stderr=True)


def say(text: str) -> None:
    """A line on standard error."""
    ERRORS.print(text, highlight=False)


def store_of(options: argparse.Namespace) -> Store:
    """The store below ``--build``, which says on standard error what it builds."""
    return Store(options.build, say)


def flow_of(options: argparse.Namespace) -> Flow:
    """The flow of the profile that is named, or of the default one."""
    return Flow(profile.load(options.profile or profile.DEFAULT), store_of(options))


def ready_flow(options: argparse.Namespace) -> Flow:
    """The flow of a profile whose hub models are on this machine, so that no key changes when they arrive."""
    from harness.external import fetch_hub_models, not_fetched

    flow = flow_of(options)
    if not getattr(options, "plan", False) and not_fetched(flow.located):
        plan.require_machine(flow)
        fetch_hub_models(flow.located)
    return flow


def trainable_flow(options: argparse.Namespace) -> Flow:
    """A ready flow that trains.

    Raises:
        InvalidInput: its profile brings an adapter or models along.
    """
    flow = ready_flow(options)
    if not flow.profile.training:
        raise InvalidInput(
            f"{flow.located.path}: [training] is missing; this profile brings its adapter or models along"
        )
    return flow


def ensure(flow: Flow, source: Source) -> Path:
    """Find or build one artefact and say which of the two it was."""
    if not isinstance(source, External) and flow.store.find(source):
        ERRORS.print(f"found {source.stage} {source.key}", highlight=False)
    return flow.path(source)
