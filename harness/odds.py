"""A distribution over the vocabulary in a few cells, and how far two such are apart, without the model that made them.

Cells are what the audit keeps of a token, so that another run's can be compared with it years later. The divergence of
the cells is at most that of the whole distributions, since merging outcomes can only lose it (the log-sum inequality;
Cover and Thomas, Elements of Information Theory, 2.7.1): over a limit is over it, under a limit need not be under it.
"""

from collections.abc import Sequence
from math import exp, inf, log
from typing import TYPE_CHECKING

from harness.audit_record import Odds

if TYPE_CHECKING:
    import numpy as np

_DIGITS = 9  # of ln p: what they round away moves the divergence by less than 1e-15
_NEVER = -700.0  # ln p of what has no probability that a float64 could hold


def odds(log_probabilities: "np.ndarray", count: int) -> Odds:
    """The ``count`` likeliest tokens and the rest of a distribution (V,), in float64; of equal ones the lower id first.

    What is given need not be normalised. Where any of it is no number, there are no cells.
    """
    import numpy as np

    wide = log_probabilities.astype(np.float64)
    if not np.isfinite(wide).all():
        return Odds(tokens=(), log_p=(), log_rest=0.0)
    wide -= wide.max()
    p = np.exp(wide)
    total = p.sum()
    wide -= np.log(total)
    least = np.partition(wide, -count)[-count] if count < len(wide) else -inf
    likeliest = np.flatnonzero(wide >= least)
    top = likeliest[np.argsort(-wide[likeliest], kind="stable")][:count]
    p[top] = 0.0
    rest = p.sum() / total
    return Odds(
        tokens=tuple(top.tolist()),
        log_p=tuple(round(max(value, _NEVER), _DIGITS) for value in wide[top].tolist()),
        log_rest=round(float(np.log(rest)), _DIGITS) if rest > 0 else _NEVER,
    )


def divergence(theirs: Odds, ours: Odds) -> float:
    """KL(theirs || ours) in nats over the tokens that both name and everything else together; 0 for the same cells.

    A lower bound of that of the whole distributions, summed as p (ln p - ln q) + q - p, each term of which is at least
    0. Infinite where only one of the two is a distribution.
    """
    if bool(theirs.tokens) != bool(ours.tokens):
        return inf
    common = set(theirs.tokens) & set(ours.tokens)
    pairs = list(zip(_cells(theirs, common), _cells(ours, common), strict=True))
    return max(0.0, sum(p * (lp - lq) + q - p for (p, lp), (q, lq) in pairs))


def _cells(one: Odds, common: set[int]) -> list[tuple[float, float]]:
    """p and ln p of each common token in the order of their ids, then of the rest."""
    kept = sorted((token, lp) for token, lp in zip(one.tokens, one.log_p, strict=True) if token in common)
    others = [lp for token, lp in zip(one.tokens, one.log_p, strict=True) if token not in common]
    return [(exp(lp), lp) for lp in [*(lp for _, lp in kept), _sum_of(one.log_rest, others)]]


def _sum_of(log_rest: float, others: Sequence[float]) -> float:
    """ln of the sum of these probabilities; the rest alone is given back as it is."""
    if not others:
        return log_rest
    return log(sum(map(exp, [log_rest, *others])))
