"""Scores of a few rows for tests, without a model."""

from __future__ import annotations

from typing import Any

from phase8.core.lazy_imports import np
from phase8.record.scores import Margin, ScoredRow, ScoreFile, Scores, Tokens


def scores(nll: Any, groups: Any = None, tokens_a_row: int = 4, **changes: Any) -> Scores:
    """Scores whose tokens have these NLL values (N,); a row each ``tokens_a_row``, its topic from ``groups``."""
    nll = np.asarray(nll, np.float32)
    row = np.arange(len(nll)) // tokens_a_row
    named = groups or [f"topic-{i}" for i in range(row[-1] + 1)]
    rows = tuple(ScoredRow(case=f"row-{i:03d}", group=group) for i, group in enumerate(named))
    margins = tuple(
        Margin(case=one.case, suite="held-out", label="tool" if i % 2 else "direct", group=one.group, log_odds=2.0)
        for i, one in enumerate(rows)
    )
    arrays = {
        "nll": nll,
        "kl": np.zeros_like(nll),
        "same": np.ones(len(nll), bool),
        "call": np.arange(len(nll)) % 2 == 0,
        "row": row,
    }
    values: dict[str, Any] = {
        "rows": rows,
        "margins": margins,
        "opening": "```json\n",
        "replies": (),
        "read_to": 0,
        "bits_per_weight": 5.5,
        "size_bytes": 1000,
        "replies_on": "dequantised float32 weights",
    }
    known = {name: changes.pop(name) for name in list(changes) if name in arrays}
    return Scores(ScoreFile(**{**values, **changes}), Tokens(**{**arrays, **known}))
