"""Small profiles as files for tests."""

from pathlib import Path
from typing import Any

from phase8.core.store import Store
from phase8.profile.loading import PROFILES, Located, load
from phase8.profile.sections import Prompting
from phase8.stages.flow import Flow

READY = """
name = "mine"

[prompting]
format = "fenced"
stop_sequences = ["<|im_end|>"]
max_tokens = 8

[[models]]
name = "tuned"
path = "tuned"
role = "production"
"""


def write_profile(folder: Path, *changes: tuple[str, str], text: str = READY) -> Path:
    """A profile in ``folder`` with each (found, put in its place) applied; what is to be changed must be there."""
    for found, instead in changes:
        assert found in text, found
        text = text.replace(found, instead)
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def smollm2(folder: Path, *changes: tuple[str, str]) -> Path:
    """The shipped profile with every stage, changed."""
    return write_profile(folder, *changes, text=(PROFILES / "smollm2.toml").read_text(encoding="utf-8"))


def located(folder: Path, *changes: tuple[str, str], text: str = READY) -> Located:
    """A profile that was written and read."""
    return load(str(write_profile(folder, *changes, text=text)))


def flow(profile: Located, root: Path) -> Flow:
    """The stages of a profile above an empty store."""
    return Flow(profile, Store(root))


def prompting(**overrides: Any) -> Prompting:
    """Fenced calls, ChatML's end of turn."""
    values: dict[str, Any] = {"format": "fenced", "stop_sequences": ("<|im_end|>",), "max_tokens": 48}
    return Prompting(**{**values, **overrides})
