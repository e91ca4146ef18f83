"""Profiles read from their files."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT
from phase8.core.values import Frozen
from phase8.profile.errors import explain
from phase8.profile.profile import Profile

PROFILES = ROOT / "data" / "profiles"
DEFAULT = "smollm2"


class Located(Frozen):
    """A profile and the file it came from; relative paths count from that file's folder."""

    profile: Profile
    path: Path

    def resolve(self, name: str) -> Path:
        """A path of the profile, seen from the profile's folder.

        Raises:
            InvalidInput: no path: a user that does not exist, a null byte.
        """
        try:
            return (self.path.parent / Path(name).expanduser()).resolve()
        except (RuntimeError, ValueError) as error:
            raise InvalidInput(f"{self.path}: {name!r} is no path: {error}") from error


def load(name_or_path: str) -> Located:
    """Read a profile by name or by path.

    Raises:
        InvalidInput: no such profile, broken TOML, or a value that is not allowed.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PROFILES / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise InvalidInput(f"profile {name_or_path!r} not found. Shipped profiles: {known}; or give a path to a .toml")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: not valid TOML: {error}") from error
    try:
        return Located(profile=Profile.model_validate(raw), path=path.resolve())
    except ValidationError as error:
        raise InvalidInput(explain(Profile, path, error)) from error
