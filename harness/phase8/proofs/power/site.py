"""What a proof of power is made of: the pocket's models, the profile that gates them, and how a place is planted in."""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from phase8.core.artefact import MANIFEST
from phase8.core.errors import InvalidInput
from phase8.core.store import Store
from phase8.profile import loading
from phase8.profile.loading import Located
from phase8.quant.layout import Target
from phase8.stages.flow import Flow

JUDGED, BESIDE = "fused-5bit", "fused-4bit"
_WIDTHS = {JUDGED: 5, BESIDE: 4}
LIMIT = 1.02
HELD_OUT = "held-out.jsonl"

_QUANTITIES = 'quantities = ["load_s", "token_s"]\n'
PROFILE = f"""\
name = "power"
description = "Two fused pockets, gated as models made elsewhere are"

[corpus]
kind = "files"
test = "{HELD_OUT}"

[prompting]
format = "fenced"
system = "You help with Python web code."
stop_sequences = ["<|im_end|>"]
max_tokens = 96

[queries]
probes = "probes.jsonl"

[[models]]
name = "{JUDGED}"
path = "{JUDGED}"
role = "production"

[[models]]
name = "{BESIDE}"
path = "{BESIDE}"
role = "candidate"

[latency]
prefill_tokens = 16
decode_tokens = 48
rounds = 5

[budgets]
terminated = 0.95

[gate]
max_drift_kl = 0.01

[gate.latency]
limit = {LIMIT}
blocks = 8
seconds = 1.0
{_QUANTITIES}"""


class Materials:
    """The pocket's base and adapters in the ordinary store, made where they are missing."""

    def __init__(self, store: Store) -> None:
        self._located, self._store = loading.load("pocket"), store
        self._flow = Flow(self._located, store)

    @property
    def key(self) -> str:
        """What the planted-in models are made from."""
        return "+".join(self._flow.fused(bits).key for bits in _WIDTHS.values())

    @property
    def base(self) -> Path:
        """The base."""
        return self._flow.path(self._flow.base)

    @property
    def adapter(self) -> Path:
        """The adapter."""
        return self._flow.path(self._flow.adapter)

    @property
    def nothing(self) -> Path:
        """An adapter that changes nothing."""
        return self._flow.path(self._flow.zero)

    @cached_property
    def other_seed(self) -> Path:
        """The adapter that the same training gives from another seed."""
        training = self._located.profile.training
        assert training is not None
        other = training.model_copy(update={"seed": training.seed + 1})
        changed = self._located.profile.model_copy(update={"training": other})
        flow = Flow(Located(profile=changed, path=self._located.path), self._store)
        return flow.path(flow.adapter)

    def write(self, folder: Path) -> None:
        """The profile, its models and its held-out rows, as somebody's own beside each other."""
        steps = [self._flow.fused(bits) for bits in _WIDTHS.values()]
        folder.mkdir(parents=True)
        for name, made in zip(_WIDTHS, self._flow.fused_together(steps), strict=True):
            shutil.copytree(made, folder / name, ignore=shutil.ignore_patterns(MANIFEST))
        corpus = self._flow.path(self._flow.corpus)
        shutil.copy(corpus / "test.jsonl", folder / HELD_OUT)
        shutil.copy(corpus / "provenance.jsonl", folder)
        (folder / "power.toml").write_text(PROFILE, encoding="utf-8")


@dataclass(frozen=True)
class Site:
    """A copy of the repository with the profile and models of the proof in ``folder``: where a plant goes."""

    repo: Path
    folder: Path
    scratch: Path
    materials: Materials

    @property
    def model(self) -> Path:
        """The folder of the judged model."""
        return self.folder / JUDGED

    @property
    def history(self) -> Path:
        """The accepted runs."""
        return self.repo / "reports" / "history"

    def held_out_texts(self) -> list[str]:
        """What is said in each held-out conversation."""
        rows = (self.folder / HELD_OUT).read_text(encoding="utf-8").splitlines()
        return ["\n".join(message["content"] for message in json.loads(row)["messages"]) for row in rows]

    def fuse(self, adapter: Path, bits: int = 5, group_size: int = 64) -> None:
        """Put a freshly fused model in the place of the judged one."""
        from phase8.engine.fuse.fuse import fuse

        shutil.rmtree(self.model)
        self.model.mkdir()
        fuse(
            self.materials.base,
            adapter,
            [(Target.model_validate({"bits": bits, "group_size": group_size, "recipe": "preserve"}), self.model)],
        )

    def untimed(self) -> None:
        """Gate without blocks from here on; the gate says so in its report."""
        replace(self.folder / "power.toml", _QUANTITIES, _QUANTITIES + "variants = []\n")

    def fresh(self, name: str) -> Path:
        """An unused place for files that do not belong into the clone."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def replace(path: Path, old: str, new: str) -> None:
    """Put ``new`` in the place of ``old``, which must stand in the file once.

    Raises:
        InvalidInput: it does not, so that nothing, or something else, would be planted.
    """
    text = path.read_text(encoding="utf-8")
    if (count := text.count(old)) != 1:
        raise InvalidInput(f"{path}: the text to replace is there {count} times, once wanted: {old.strip()[:80]!r}")
    path.write_text(text.replace(old, new), encoding="utf-8")
