"""Training: batches, losses, LoRA with checkpoints, the tiny model, whether a machine can train at all."""
