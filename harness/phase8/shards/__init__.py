"""A run divided among machines, and joined again."""
