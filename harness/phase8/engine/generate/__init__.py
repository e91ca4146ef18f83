"""Replies: batched, with shared prefixes, and where two of them part."""
