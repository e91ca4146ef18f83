"""Everything that touches MLX. Importing this package prepares it.

On a Linux CPU the MLX wheel links the reference BLAS, forty times slower than
OpenBLAS or MKL; a BLAS loaded with global symbols before ``mlx.core`` takes its
place. That is why nothing outside this package imports MLX.
"""

import os

from harness.blas import load

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
load()
