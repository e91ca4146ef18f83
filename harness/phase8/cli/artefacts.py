"""The command on artefacts: list, verify or prune what was built."""

import argparse

from rich.table import Table

from phase8.core.artefact import read_manifest
from phase8.core.errors import InvalidInput
from phase8.core.machine import GB
from phase8.core.store import Store, size_on_disk
from phase8.profile import loading
from phase8.runner.context import CONSOLE
from phase8.stages.external import External
from phase8.stages.flow import Flow
from phase8.survival.stage import all_steps


def artefacts(options: argparse.Namespace) -> int:
    """List, verify or prune what was built."""
    if not options.build.is_dir():
        raise InvalidInput(f"{options.build}: no such folder. Build something first, or name another with --build")
    store = Store(options.build)
    if options.action == "prune":
        return _prune(store, options.profile)
    faults = store.verify() if options.action == "verify" else {path: [] for path in store.artefacts()}
    if options.action == "verify" and not faults:
        raise InvalidInput(f"{options.build}: no artefact there, so there is nothing to verify")
    table = Table("stage", "key", "created", "seconds", "size", "state")
    for path, found in faults.items():
        size = f"{size_on_disk(path) / 1e6:.1f} MB"
        try:
            manifest = read_manifest(path)
        except (OSError, ValueError):
            faults[path] = faults[path] or ["not finished, or its manifest is damaged"]
            table.add_row(path.parent.name, path.name, "", "", size, "; ".join(faults[path]))
            continue
        state = "; ".join(found) or ("sound" if options.action == "verify" else "")
        table.add_row(manifest.stage, manifest.key, manifest.created, f"{manifest.seconds:.1f}", size, state)
    CONSOLE.print(table)
    return 1 if any(faults.values()) else 0


def _prune(store: Store, names: list[str] | None) -> int:
    """Delete what none of these profiles needs; a training of theirs that was interrupted can still go on."""
    if not names:
        raise InvalidInput(
            "artefacts prune deletes what no named profile needs, and none is named. Name each one whose artefacts "
            "are to stay: artefacts prune --profile smollm2 --profile path/to/mine.toml"
        )
    sources = [source for name in names for source in all_steps(Flow(loading.load(name), store))]
    steps = [source for source in sources if not isinstance(source, External)]
    keep = {store.path(step) for step in steps} | {store.partial(step) for step in steps if step.resumable}
    CONSOLE.print(f"freed {store.prune(keep) / GB:.2f} GB; kept what {', '.join(names)} need")
    return 0
