"""The power of the merge gate: what it catches of planted faults, how often it cries about nothing."""
