"""Loads the Phase 8 plugin for every suite of this repository."""

import gc

gc.disable()  # until all tests are collected: nothing that is imported or collected until then becomes garbage

pytest_plugins = ["fixtures.plugin"]
