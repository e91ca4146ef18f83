"""What logits say of tokens: negative log-likelihood, divergence from a reference, agreement. NumPy alone."""

from __future__ import annotations

from typing import NamedTuple

from phase8.core.lazy_imports import np

_BLOCK = 16  # rows at a time, so that a block of a wide vocabulary stays in the cache


class TokenNumbers(NamedTuple):
    """One value a token, each array (N,): NLL and KL in nats, and whether the likeliest token is the reference's.

    ``log_probabilities`` (N, V) are kept only where they were asked for.
    """

    nll: np.ndarray
    kl: np.ndarray
    same_top: np.ndarray
    log_probabilities: np.ndarray | None


def token_numbers(
    logits: np.ndarray, targets: np.ndarray, reference: np.ndarray | None, *, keep: bool = False
) -> TokenNumbers:
    """Judge the logits (N, V) at which the tokens ``targets`` (N,) were to be written, in float32.

    KL(reference || model) is summed over the full vocabulary as p (ln p - ln q) + q - p. Both distributions sum to
    one, so the two last terms add nothing, but with them rounding of either normaliser cancels to first order. The
    error that is left is some 1e-7 nats; what 8 bits do to a token is some 1e-5.

    Args:
        logits: of the model.
        targets: token ids.
        reference: log-probabilities (N, V) of the reference; None where this is the reference, which is at distance 0.
        keep: whether to give the log-probabilities back.
    """
    count = len(targets)
    nll, kl = np.empty(count, np.float32), np.zeros(count, np.float32)
    same, kept = np.ones(count, bool), np.empty(logits.shape, np.float32) if keep else None
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(start + _BLOCK, count))
        logs, q = _normalised(np.asarray(logits[rows], np.float32))
        nll[rows] = -logs[np.arange(len(logs)), targets[rows]]
        if reference is not None:
            theirs = np.asarray(reference[rows], np.float32)
            same[rows] = logs.argmax(axis=-1) == theirs.argmax(axis=-1)
            kl[rows] = _divergence(theirs, logs, q)
        if kept is not None:
            kept[rows] = logs
    return TokenNumbers(nll, kl, same, kept)


def log_probability_and_rest(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln p and ln (1 - p) of each target (N,) from logits (N, V), in float64; the second from all other tokens."""
    wide = logits.astype(np.float64)
    every = np.logaddexp.reduce(wide, axis=-1)
    rows = np.arange(len(targets))
    own = wide[rows, targets]
    wide[rows, targets] = -np.inf
    return own - every, np.logaddexp.reduce(wide, axis=-1) - every


def log_odds(log_p: np.ndarray, log_rest: np.ndarray) -> float:
    """ln (p / (1 - p)) of a sequence whose tokens have ln p and ln (1 - p) as given (L,), finite where p rounds to 1.

    1 - p of the whole is the chance to leave it at its first token, or to stay and leave it at its second, and so on.
    """
    before = np.concatenate([[0.0], np.cumsum(log_p)[:-1]])
    return float(log_p.sum() - np.logaddexp.reduce(before + log_rest))


def _normalised(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and probabilities."""
    logs = logits - logits.max(axis=-1, keepdims=True)
    q = np.exp(logs)
    total = q.sum(axis=-1, keepdims=True)
    logs -= np.log(total)
    q /= total
    return logs, q


def _divergence(theirs: np.ndarray, logs: np.ndarray, q: np.ndarray) -> np.ndarray:
    p = np.exp(theirs)
    terms = theirs - logs
    terms *= p
    terms += q
    terms -= p
    return np.maximum(terms.sum(axis=-1), 0.0)
