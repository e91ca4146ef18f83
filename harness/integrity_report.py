"""What a person sees of a folder's integrity: the modules that are not equal, worst first, and one closing line."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.survival_record import FolderIntegrity, ModuleIntegrity
from harness.visible import one_line

_SHOWN = 40  # modules: a folder without its adapter has one line for each, and all say the same

_CLOSING = {
    "adapter missing": "NOT EQUAL: the adapter is missing",
    "rounding": "NOT EQUAL BIT FOR BIT: all that differs is rounding at ties, none of it at the delta's expense",
}


def show(found: FolderIntegrity, console: Console) -> None:
    """Print the faults of a folder and its closing line."""
    faults = found.faults
    if faults:
        table = Table("module", "holds", "outcome", "codes that differ", "largest, in steps", "what is wrong")
        for module in faults[:_SHOWN]:
            table.add_row(*(Text(one_line(cell, 300)) for cell in _row(module)))  # names are a stranger's
        console.print(table, highlight=False)
        if len(faults) > _SHOWN:
            console.print(f"... and {len(faults) - _SHOWN} more; --json has them all", highlight=False)
    for setting in found.settings:
        console.print(Text(one_line(f"config.json: {setting}", 300)), soft_wrap=True)
    console.print(closing_line(found), highlight=False, soft_wrap=True)


def closing_line(found: FolderIntegrity) -> str:
    """The outcome, how many modules have it, and what it rests on."""
    modules, touched = len(found.modules), sum(module.touched for module in found.modules)
    of = f"{modules} modules, {touched} of them touched by the adapter"
    keys = f"base {found.base_key}, adapter {found.adapter_key}, folder {found.folder_key}"
    if found.outcome == "equal":
        return f"EQUAL: every tensor is that of base + adapter, in {of} ({keys})"
    counts = Counter(module.outcome for module in found.faults)
    said = [f"{count} {outcome}" for outcome, count in counts.items()]
    said += [f"{len(found.settings)} settings of the model"] if found.settings else []
    return f"{_CLOSING.get(found.outcome, 'NOT EQUAL')}: {', '.join(said)}, of {of} ({keys})"


def _row(module: ModuleIntegrity) -> tuple[str, ...]:
    """One fault."""
    compared = module.differing or module.worst_steps is not None
    return (
        module.path,
        f"{module.bits} bits, groups of {module.group_size}" if module.bits else "float",
        module.outcome,
        f"{module.differing:,} of {module.weights:,}" if compared else "",
        f"{module.worst_steps:.3g}" if module.worst_steps is not None else "",
        module.reason,
    )
