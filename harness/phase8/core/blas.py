"""Which BLAS matrix products run on, and what it really computes: the library, its instruction set, its products.

Found out without importing MLX, by the library's own C functions. Processors and settings round differently, and a
small model's training amplifies it; so a key holds not only the library's version but a hash of products that it
gave in this process. What is the same in both is the same arithmetic, whatever the processor is called.
"""

import array
import ctypes
import functools
import hashlib
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from phase8.core.errors import InvalidInput
from phase8.core.values import Frozen

CHOICE = "PHASE8_BLAS"  # an environment variable that names one of CHOICES; without it the fastest that is here
CHOICES = ("openblas", "mkl", "mlx")
SMALL = 20_000_000  # parameters; a smaller model trains on one BLAS thread: 0.11 s a step, 0.14 s on two
THREADS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # what BLAS libraries read
_RUN_THREADS = "PHASE8_RUN_THREADS"  # what a process was given less than: its artefacts are still the run's
# Bitwise repeatable products: without it MKL may choose another kernel for another alignment.
_REPEATABLE = {"MKL_CBWR": "AUTO,STRICT"}
_ROW_MAJOR, _AS_IS = 101, 111  # from cblas.h
_TURNED = 112
# Rows, columns, inner length, whether the second factor is stored transposed: a single row as in decoding, odd
# edges, and enough work to be divided among threads and inner blocks.
_SHAPES = ((1, 40, 192, _TURNED), (7, 33, 130, _AS_IS), (64, 48, 257, _TURNED), (12, 20, 900, _AS_IS))


class Blas(Frozen):
    """The BLAS that matrix products run on. ``path`` is None where MLX brings its own."""

    name: str
    version: str
    path: str | None
    fast: bool


class Arithmetic(Frozen):
    """How products are computed: what decides their last bits.

    ``instructions`` is the library's own word for what it uses, ``threads`` how many the run may use, ``products`` the
    first 12 hex digits of a hash of products that it gave on one thread; all empty or 0 where MLX brings its own BLAS,
    whose version is MLX's.
    """

    instructions: str = ""
    threads: int = 0
    products: str = ""

    def __str__(self) -> str:
        """For a record: the instruction set and the threads."""
        return f"{self.instructions}, {self.threads} threads" if self.threads else ""


@functools.cache
def blas() -> Blas:
    """The fastest BLAS that can be loaded here: system OpenBLAS, else the ``mkl`` wheel, else MLX's own.

    Raises:
        InvalidInput: the environment variable ``PHASE8_BLAS`` names one that is not here.
    """
    if device() == "metal":
        return Blas(name="Accelerate", version=platform.mac_ver()[0], path=None, fast=True)
    if device() == "cuda":
        version = version_of("mlx-cuda-12") or version_of("mlx-cuda-13") or ""
        return Blas(name="cuBLAS", version=version, path=None, fast=True)
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", *CHOICES):
        raise InvalidInput(f"environment variable {CHOICE}: {choice!r} is not one of {', '.join(CHOICES)}")
    found = (choice in ("", "openblas") and _openblas()) or (choice in ("", "mkl") and _mkl())
    if found:
        return found
    if choice in ("openblas", "mkl"):
        raise InvalidInput(f"environment variable {CHOICE}: {choice} cannot be loaded here. Install it, or unset it")
    return Blas(name="reference BLAS", version=version_of("mlx-cpu") or "", path=None, fast=False)


@functools.cache
def load() -> Any:
    """The library, loaded with global symbols, so that MLX finds it before its own; None where MLX brings its own."""
    path = blas().path
    if path is None:
        return None
    for name, value in _REPEATABLE.items():
        os.environ.setdefault(name, value)
    return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


@functools.cache
def arithmetic() -> Arithmetic:
    """What this process's products are computed with, from the library and from products that it is asked for."""
    library = load()
    if library is None:
        return Arithmetic()
    used = _of_mkl(library) if blas().name == "MKL" else _of_openblas(library)
    before = used.threads()
    used.set_threads(1)
    products = _products(library)
    used.set_threads(before)
    return Arithmetic(
        instructions=used.instructions, threads=int(os.environ.get(_RUN_THREADS) or before), products=products
    )


def limited_to(threads: int) -> dict[str, str]:
    """The environment variables of a process that does a part of this run's work with fewer BLAS threads."""
    return dict.fromkeys(THREADS, str(threads)) | {_RUN_THREADS: str(arithmetic().threads or "")}


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None. Read once: reading takes milliseconds."""
    return _versions(distribution)


@functools.cache
def _versions(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def device() -> str:
    """Where MLX computes: ``metal``, ``cuda`` or ``cpu``."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "metal"
    if version_of("mlx-cuda-12") or version_of("mlx-cuda-13"):
        return "cuda"
    return "cpu"


def _openblas() -> Blas | None:
    for name in ("libopenblas.so.0", "libopenblas.so"):
        try:
            library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        library.openblas_get_config.restype = ctypes.c_char_p
        return Blas(name="OpenBLAS", version=library.openblas_get_config().decode(), path=name, fast=True)
    return None


def _mkl() -> Blas | None:
    for found in sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*")):
        return Blas(name="MKL", version=version_of("mkl") or "", path=str(found), fast=True)
    return None


class _MklVersion(ctypes.Structure):
    """``MKLVersion`` of mkl_types.h."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("major", "minor", "update")),
        *((name, ctypes.c_char_p) for name in ("status", "build", "processor", "platform")),
    )


class _Used(NamedTuple):
    instructions: str
    threads: Callable[[], int]
    set_threads: Callable[[int], None]


def _of_mkl(library: Any) -> _Used:
    """MKL's name for the instruction set it uses with its setting for reproducible results."""
    version = _MklVersion()
    library.MKL_Get_Version(ctypes.byref(version))
    processor = (version.processor or b"").decode(errors="replace")
    short = re.search(r"\(Intel\(R\) ([^)]+)\)", processor)  # "... (Intel(R) AVX-512) enabled processors"
    instructions = f"{short[1] if short else processor}, MKL_CBWR {library.MKL_CBWR_Get(-1)}"
    return _Used(instructions, library.MKL_Get_Max_Threads, library.MKL_Set_Num_Threads)


def _of_openblas(library: Any) -> _Used:
    library.openblas_get_corename.restype = ctypes.c_char_p
    core = library.openblas_get_corename().decode(errors="replace")
    return _Used(core, library.openblas_get_num_threads, library.openblas_set_num_threads)


def _products(library: Any) -> str:
    """A hash of a few products of fixed factors, in float32."""
    hashed = hashlib.sha256()
    for rows, columns, inner, turned in _SHAPES:
        left, right, out = _factor(rows * inner, 7919), _factor(inner * columns, 10007), _factor(rows * columns, 1)
        stride = inner if turned == _TURNED else columns
        one, nothing = ctypes.c_float(1), ctypes.c_float(0)
        sizes = (rows, columns, inner)
        library.cblas_sgemm(_ROW_MAJOR, _AS_IS, turned, *sizes, one, left, inner, right, stride, nothing, out, columns)
        hashed.update(bytes(out))
    return hashed.hexdigest()[:12]


def _factor(size: int, step: int) -> Any:
    """Numbers between -1/2 and 1/2, all bits in use; on a boundary of 64 bytes, since kernels go by it."""
    held = (ctypes.c_char * (4 * size + 64))()
    floats = (ctypes.c_float * size).from_buffer(held, -ctypes.addressof(held) % 64)
    values = array.array("f", [(number * step) % 65521 / 65521 - 0.5 for number in range(size)])
    ctypes.memmove(floats, values.buffer_info()[0], 4 * size)
    return floats
