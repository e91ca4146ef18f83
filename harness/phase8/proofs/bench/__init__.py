"""Speed, against stock mlx-lm in one run."""
