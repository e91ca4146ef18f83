"""Judge LoRA-tuned, fused and requantised MLX language models."""
