"""Processes under the stopwatch: latency, memory, and replies written in several ways."""
