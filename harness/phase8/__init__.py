"""Judge LoRA-tuned, fused and requantised MLX language models."""

__version__ = "0.1.0"
