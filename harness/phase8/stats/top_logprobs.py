"""A distribution over the vocabulary in a few cells, and how far two such are apart, without the model that made them.

Cells are what the audit keeps of a token, so that another run's can be compared with it years later. The divergence of
the cells is at most that of the whole distributions, since merging outcomes can only lose it (the log-sum inequality;
Cover and Thomas, Elements of Information Theory, 2.7.1): over a limit is over it, under a limit need not be under it.
"""

from collections.abc import Sequence
from math import exp, expm1, inf, log
from typing import TYPE_CHECKING

from phase8.record.audit import Odds

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
    """KL(theirs || ours) in nats over the tokens that both name and everything else; 0 for the same cells.

    A lower bound of that of the whole distributions, summed as p (ln p - ln q) + q - p, each term of which is at least
    0. Tokens that only theirs names are in our rest, and at most as likely as the last that ours names: they count as
    far as that goes. Infinite where only one of the two is a distribution.
    """
    if bool(theirs.tokens) != bool(ours.tokens):
        return inf
    p, q = (dict(zip(one.tokens, one.log_p, strict=True)) for one in (theirs, ours))
    pairs = [(lp, q[token]) for token, lp in p.items() if token in q]
    lost = [lp for token, lp in p.items() if token not in q]
    rest = _sum_of(ours.log_rest, [lq for token, lq in q.items() if token not in p])
    if lost:
        pairs += _lost(_sum_of(lost[0], lost[1:]), theirs.log_rest, rest, ours, len(lost))
    else:
        pairs.append((theirs.log_rest, rest))
    return max(0.0, sum(exp(lp) * (lp - lq) + exp(lq) - exp(lp) for lp, lq in pairs))


def _lost(log_p: float, log_others: float, log_rest: float, ours: Odds, count: int) -> list[tuple[float, float]]:
    """ln p and ln q of ``count`` tokens that ours does not name, and of all others, with the least divergence there is.

    It falls, convexly, until both have their share of our rest in proportion: what is nearest to that is least.
    Together they have at most what ours gives to tokens without a name, and each at most what its last named one has.
    """
    share = log_rest + log_p - _sum_of(log_p, [log_others])
    log_q = min(share, ours.log_rest, min(ours.log_p) + log(count))
    left = -expm1(log_q - log_rest)
    return [(log_p, log_q), (log_others, log_rest + log(left) if left > 0 else _NEVER)]


def _sum_of(first: float, others: Sequence[float]) -> float:
    """ln of the sum of these probabilities; the first alone is given back as it is."""
    return log(sum(map(exp, [first, *others]))) if others else first
