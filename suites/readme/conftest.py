"""Commands that take hours: they are collected in `nox -s readme` alone, which says where nox is."""

import os

collect_ignore_glob = [] if os.environ.get("PHASE8_NOX") else ["test_*.py"]
