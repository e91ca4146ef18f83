"""Whether a folder holds what base and adapter give: codes, scales, deltas, rounding."""
