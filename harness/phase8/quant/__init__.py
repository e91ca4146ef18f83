"""Quantisation on paper: targets, the layout of folders, what differing codes mean, memory fallbacks."""
