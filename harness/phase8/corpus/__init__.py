"""Training data that is mined from installed sources, proved, split, checked and described."""
