"""One session of ``noxfile.py`` without nox: what it runs is run here, in the environment that is there.

python -m suites.readme.session fuse(bits=5) -- --profile pocket
"""

import os
import re
import subprocess
import sys

import noxfile


class Session:
    """As much of a nox session as ours use."""

    def __init__(self, posargs: list[str]) -> None:
        self.posargs = posargs

    def run(self, *command: str, external: bool, env: dict[str, str] | None = None) -> None:
        """Run a command, and end where it fails as nox does."""
        if subprocess.run(command, env={**os.environ, **(env or {})}, check=False).returncode:
            raise SystemExit(1)


def here(session: object, *, models: bool = True) -> str:
    """This environment, instead of one that is prepared first."""
    return sys.executable


def main(arguments: list[str]) -> None:
    """Run the session that is named, its parameters in brackets; what follows ``--`` is its own."""
    found = re.fullmatch(r"(\w+)(?:\((\w+)=(\d+)\))?", arguments[0])
    if not found:
        raise SystemExit(f"{arguments[0]} names no session")
    name, parameter, value = found.groups()
    setattr(noxfile, "prepare", here)  # noqa: B010 # a plain assignment is not of its type
    getattr(noxfile, name)(Session(arguments[2:]), **({parameter: int(value)} if parameter else {}))


if __name__ == "__main__":
    main(sys.argv[1:])
