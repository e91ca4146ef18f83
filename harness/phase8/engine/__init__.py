"""Everything that touches MLX. Importing this package prepares it.

On a Linux CPU the MLX wheel links the reference BLAS, forty times slower than
OpenBLAS or MKL; a BLAS loaded with global symbols before ``mlx.core`` takes its
place. That is why nothing outside this package imports MLX.

MLX lines up a graph's operations depth first where the graph is wide, so that two
streams would wait for each other; breadth first they run side by side.
"""

import os

from phase8.core.blas import load

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("MLX_BFS_MAX_WIDTH", "10000")
load()
