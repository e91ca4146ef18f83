"""Statistics on counts, pairs, clusters, blocks and tokens; no file, no model."""
