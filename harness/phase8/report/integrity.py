"""What a person sees of a folder's integrity: the modules that are not equal, worst first, and one closing line."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from phase8.core.safe_text import one_line
from phase8.record.integrity import FolderIntegrity, ModuleIntegrity

_SHOWN = 40  # modules: a folder without its adapter has one line for each, and all say the same

_CLOSING = {
    "adapter missing": "NOT EQUAL: the adapter is missing",
    "rounding": "EQUAL UP TO ROUNDING: all that differs is what another BLAS, device or dtype rounds otherwise",
}


def show(found: FolderIntegrity, console: Console) -> None:
    """Print the faults of a folder and its closing line, which sums up what is rounding."""
    faults = [fault for fault in found.faults if fault.outcome != "rounding"]
    if faults:
        table = Table("module", "holds", "outcome", "codes", "in steps", "scales", "in ulps", "what differs")
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
    said[-1] += f" ({_largest(found)})" if found.outcome == "rounding" else ""
    return f"{_CLOSING.get(found.outcome, 'NOT EQUAL')}: {', '.join(said)}, of {of} ({keys})"


def _largest(found: FolderIntegrity) -> str:
    """How much differs in a folder that is equal up to rounding, how far at most, and by which arithmetic."""
    faults = found.faults
    codes, scales = (sum(one) for one in zip(*((m.differing, m.scales_differing) for m in faults), strict=True))
    steps, ulps = (max(one) for one in zip(*((m.worst_steps or 0.0, m.worst_ulps or 0.0) for m in faults), strict=True))
    by = "; ".join(dict.fromkeys(module.arithmetic for module in faults))
    return f"{codes:,} codes or floats, at most {steps:.3g} steps; {scales:,} scales, at most {ulps:.3g} ulps; {by}"


def _row(module: ModuleIntegrity) -> tuple[str, ...]:
    """One fault."""
    compared = module.differing or module.worst_steps is not None
    return (
        module.path,
        f"{module.bits} bits, groups of {module.group_size}" if module.bits else "float",
        module.outcome,
        f"{module.differing:,} of {module.weights:,}" if compared else "",
        f"{module.worst_steps:.3g}" if module.worst_steps is not None else "",
        f"{module.scales_differing:,}" if compared and module.bits else "",
        f"{module.worst_ulps:.3g}" if module.worst_ulps is not None and module.bits else "",
        module.reason,
    )
