"""What one variant scored on the held-out rows, teacher-forced: records, and their files. No model is needed.

``tokens.npz`` holds one value for each scored token, rows one after another: ``nll`` and ``kl`` in nats, ``same``
(the likeliest token is the reference's), ``call`` (it lies inside a tool call), ``row``. The rest: ``scores.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phase8.core.lazy_imports import np
from phase8.core.values import Frozen
from phase8.record.run import Label, Reply, Suite

LOG_PROBABILITIES = "log_probabilities.npy"
NO_LIKELIHOOD = 87.3  # nats: exp(-87.3) is the smallest probability that float32 holds at full precision
_TOKENS = "tokens.npz"
_SCORES = "scores.json"


class ScoredRow(Frozen):
    """One held-out row: its case, and the topic it shares with others."""

    case: str
    group: str


class Margin(Frozen):
    """How surely a call is opened after one prompt: ln (p / (1 - p)) of the call-opening string, not yet signed."""

    case: str
    suite: Suite
    label: Label
    group: str
    log_odds: float

    @property
    def signed(self) -> float:
        """Positive where the odds favour what the label asks for."""
        return self.log_odds if self.label == "tool" else -self.log_odds


class ScoreFile(Frozen):
    """What was scored beside tokens. ``read_to`` is how many tokens of a reply were read; 0: none was asked for.

    ``without_number`` tokens got no likelihood that is a number, and are ``NO_LIKELIHOOD`` nats.
    """

    rows: tuple[ScoredRow, ...]
    margins: tuple[Margin, ...]
    opening: str
    replies: tuple[Reply, ...]
    read_to: int
    bits_per_weight: float
    size_bytes: int
    replies_on: str
    without_number: int = 0


@dataclass(frozen=True, eq=False)
class Tokens:
    """Arrays (N,) of one value a scored token."""

    nll: np.ndarray
    kl: np.ndarray
    same: np.ndarray
    call: np.ndarray
    row: np.ndarray


@dataclass(frozen=True, eq=False)
class Scores:
    """Everything one variant scored."""

    file: ScoreFile
    tokens: Tokens


def write_scores(scores: Scores, out: Path) -> None:
    """Write both files into a folder."""
    np.savez(out / _TOKENS, **vars(scores.tokens))
    (out / _SCORES).write_text(scores.file.model_dump_json(indent=1), encoding="utf-8")


def read_scores(artefact: Path) -> Scores:
    """The scores of a finished artefact."""
    with np.load(artefact / _TOKENS) as stored:
        tokens = Tokens(**{name: stored[name] for name in stored.files})
    return Scores(ScoreFile.model_validate_json((artefact / _SCORES).read_text(encoding="utf-8")), tokens)
