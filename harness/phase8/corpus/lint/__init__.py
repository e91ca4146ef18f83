"""Faults in anybody's chat rows."""
