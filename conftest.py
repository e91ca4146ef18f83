"""Loads the Phase 8 plugin for every suite of this repository."""

pytest_plugins = ["fixtures.plugin"]
