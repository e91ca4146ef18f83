"""Everything that touches MLX. Importing this package prepares it.

On a Linux CPU the MLX wheel links the reference BLAS, forty times slower than
OpenBLAS or MKL; a BLAS loaded with global symbols before ``mlx.core`` takes its
place. That is why nothing outside this package imports MLX.
"""

import ctypes
import os

from harness.machine import blas

# Bitwise repeatable products: without it MKL may choose another kernel for another alignment.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
if (path := blas().path) is not None:
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
