"""Which examples are chosen, and which split each belongs to."""
