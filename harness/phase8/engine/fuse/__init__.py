"""Fusing and quantising every width in one pass, bit for bit as mlx-lm does it."""
