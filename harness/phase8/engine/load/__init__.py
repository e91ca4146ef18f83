"""Model folders, tokenizers, templates and rows, as MLX needs them."""
