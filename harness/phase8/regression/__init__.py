"""The merge gate: a run against the accepted baseline."""
