"""Judging: limits and measurements in, verdicts out. No file, no clock, no process."""
