"""Processes that measure, side by side: latency and memory, audits, blocks of two variants in turn."""
