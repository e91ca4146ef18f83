"""What this machine is, found out without importing MLX.

Plans, lanes and artefact hashes are made from these facts, so that they are the
same before and after MLX is loaded.
"""

import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from harness.frozen import Frozen
from harness.lazily import psutil

BLAS_THREADS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # environment variables
LIBRARIES = ("mlx", "mlx-lm", "transformers", "tokenizers", "numpy")
GB = 1e9


class Blas(Frozen):
    """The BLAS that matrix products run on. ``path`` is None where MLX brings its own."""

    name: str
    version: str
    path: str | None
    fast: bool


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
        device=_device(),
        python=platform.python_version(),
    )


def disk_free_gb(folder: Path) -> float:
    """Free space on the disk that holds ``folder`` (or its nearest existing parent), in GB."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GB


@functools.cache
def blas() -> Blas:
    """The fastest BLAS that can be loaded here: system OpenBLAS, else the ``mkl`` wheel, else MLX's own."""
    if _device() == "metal":
        return Blas(name="Accelerate", version=platform.mac_ver()[0], path=None, fast=True)
    if _device() == "cuda":
        return Blas(
            name="cuBLAS", version=_version("mlx-cuda-12") or _version("mlx-cuda-13") or "", path=None, fast=True
        )
    for name in ("libopenblas.so.0", "libopenblas.so"):
        try:
            library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        library.openblas_get_config.restype = ctypes.c_char_p
        version = library.openblas_get_config().decode()
        return Blas(name="OpenBLAS", version=version, path=name, fast=True)
    for found in sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*")):
        return Blas(name="MKL", version=_version("mkl") or "", path=str(found), fast=True)
    return Blas(name="reference BLAS", version=_version("mlx-cpu") or "", path=None, fast=False)


def has_fast_quantised_kernels() -> bool:
    """Whether quantised products are fast here: they are on Metal and CUDA, not on a CPU."""
    return _device() != "cpu"


def replies_on() -> str:
    """Which weights replies are judged on: the fastest of the same values."""
    return "shipped weights" if has_fast_quantised_kernels() else "dequantised float32 weights"


def compute_dtype() -> str:
    """The dtype that float work is done in: half precision has no BLAS on a CPU."""
    return "as stored" if has_fast_quantised_kernels() else "float32"


def versions() -> dict[str, str]:
    """The installed versions of the libraries that can change a number."""
    return {name: _version(name) or "not installed" for name in LIBRARIES}


def numeric_environment() -> dict[str, str]:
    """What an artefact's numbers depend on beside its inputs: versions, device, BLAS and dtype."""
    return {
        **versions(),
        "device": this_machine().device,
        "chip": this_machine().chip,
        "blas": f"{blas().name} {blas().version}",
        "threads": str(this_machine().cores),
        "compute_dtype": compute_dtype(),
    }


def lane(profile: str) -> str:
    """The lane of a profile on this machine: timings are compared inside one lane only."""
    here = this_machine()
    chip = re.sub(r"[^a-z0-9]+", "-", here.chip.lower()).strip("-")
    name = blas().name.lower().replace(" ", "-")
    return f"{profile}--{here.system}-{here.machine}-{chip}-{here.cores}c-{here.memory_gb:.0f}gb-{here.device}-{name}"


def commit() -> tuple[str | None, bool | None]:
    """The commit of this checkout and whether it has uncommitted changes; None outside git."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        status = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head.stdout.strip(), bool(status.stdout.strip())


@functools.cache  # asked for every key; reading a distribution takes milliseconds
def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str:
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "metal"
    if _version("mlx-cuda-12") or _version("mlx-cuda-13"):
        return "cuda"
    return "cpu"


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
