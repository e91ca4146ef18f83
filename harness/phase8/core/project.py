"""Where things are: the checkout, the package in it, and how a process that is started finds the package."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent.parent


def importable(package_parent: Path = PACKAGE.parent) -> dict[str, str]:
    """The environment of a process that imports the package from ``package_parent``, maybe another checkout's."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in given if path not in ("", str(PACKAGE.parent))]
    return {"PYTHONPATH": os.pathsep.join([str(package_parent), *others])}
