"""The tools that a model may call, run on a tree of sources."""
