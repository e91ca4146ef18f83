"""Runs that are kept, lane by lane, and accepted."""
