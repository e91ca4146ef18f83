"""Queries with the calls that answer them, from templates and sources."""
