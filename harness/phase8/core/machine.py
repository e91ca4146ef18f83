"""What this machine is, found out without importing MLX.

Plans, lanes and artefact hashes are made from these facts, so that they are the
same before and after MLX is loaded.
"""

import functools
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from phase8.core.blas import arithmetic, blas, device, version_of
from phase8.core.lazy_imports import psutil
from phase8.core.values import Frozen

LIBRARIES = ("mlx", "mlx-lm", "transformers", "tokenizers", "numpy")
GB = 1e9


class Machine(Frozen):
    """Facts about hardware and system; sizes in GB (1e9 bytes)."""

    system: str
    machine: str
    chip: str
    cores: int
    memory_gb: float
    device: str
    python: str


@functools.cache
def this_machine() -> Machine:
    """The machine this process runs on."""
    return Machine(
        system=platform.system().lower(),
        machine=platform.machine(),
        chip=_chip(),
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / GB, 1),
        device=device(),
        python=platform.python_version(),
    )


def disk_free_gb(folder: Path) -> float:
    """Free space on the disk that holds ``folder`` (or its nearest existing parent), in GB."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GB


def has_fast_quantised_kernels() -> bool:
    """Whether quantised products are fast here: they are on Metal and CUDA, not on a CPU."""
    return device() != "cpu"


def replies_on() -> str:
    """Which weights replies are judged on: the fastest of the same values."""
    return "shipped weights" if has_fast_quantised_kernels() else "dequantised float32 weights"


def compute_dtype() -> str:
    """The dtype that float work is done in: half precision has no BLAS on a CPU."""
    return "as stored" if has_fast_quantised_kernels() else "float32"


def blas_in_words() -> str:
    """The BLAS of this process for a record: name, version, what it computes with."""
    used = blas()
    return f"{used.name} {used.version}".strip() + (f" ({arithmetic()})" if str(arithmetic()) else "")


def versions() -> dict[str, str]:
    """The installed versions of the libraries that can change a number."""
    return {name: version_of(name) or "not installed" for name in LIBRARIES}


def numeric_environment(*, one_thread: bool = False) -> dict[str, str]:
    """What an artefact's numbers depend on beside its inputs: versions, device, BLAS and dtype.

    ``one_thread`` is of work that keeps to one BLAS thread whatever the run has: ``blas.SMALL`` says which.
    """
    return {
        **versions(),
        "device": this_machine().device,
        "chip": this_machine().chip,
        "blas": f"{blas().name} {blas().version}",
        "instructions": arithmetic().instructions,
        "products": arithmetic().products,
        "threads": "1" if one_thread else str(arithmetic().threads or this_machine().cores),
        "compute_dtype": compute_dtype(),
    }


def lane(profile: str) -> str:
    """The lane of a profile on this machine: timings are compared inside one lane only."""
    here = this_machine()
    chip = re.sub(r"[^a-z0-9]+", "-", here.chip.lower()).strip("-")
    name = blas().name.lower().replace(" ", "-")
    return f"{profile}--{here.system}-{here.machine}-{chip}-{here.cores}c-{here.memory_gb:.0f}gb-{here.device}-{name}"


def _chip() -> str:
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)):
        return found.group(1).strip()
    return platform.processor() or platform.machine()
