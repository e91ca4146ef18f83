"""Score one variant on held-out rows, teacher-forced, on the fastest weights of the same values.

Each prompt is read once. From there the row goes on with its own tokens (likelihood, divergence from the reference)
and with the string that opens a call: how likely that is gives the decision margin, and whether its tokens are the
likeliest at every place is the model's greedy decision, without writing more of a reply than decides.
Logits are computed for the assistant's tokens alone, and a bounded number of them at a time.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from phase8.cases.replies import read_reply
from phase8.core.machine import has_fast_quantised_kernels
from phase8.engine.cpu import keep_freed_memory
from phase8.engine.generate.batched import Generated
from phase8.engine.generate.prefix_cache import Branches, Reader
from phase8.engine.generate.replies import weights_of
from phase8.engine.load.models import load_fast
from phase8.engine.score.rows import Scored, Work
from phase8.record.run import Reply
from phase8.record.scores import (
    LOG_PROBABILITIES,
    NO_LIKELIHOOD,
    Margin,
    ScoredRow,
    ScoreFile,
    Scores,
    Tokens,
    write_scores,
)
from phase8.stats.token_metrics import TokenNumbers, log_odds, log_probability_and_rest, token_numbers

_LOGITS_AT_ONCE = 64 << 20  # bytes of logits that are held at a time
_TOKENS_AT_ONCE = 4096 if has_fast_quantised_kernels() else 600  # of padded rows; more would leave a CPU's cache
_AFTER_OPENING = 4  # tokens that a reply is read on, so that an opening behind a blank line is seen


def score(folder: Path, adapter: Path | None, work: Work, reference: Path | None, out: Path, *, ask: bool) -> None:
    """Write ``tokens.npz`` and ``scores.json``; without a reference also this model's log-probabilities, to be one.

    Args:
        folder: a model folder.
        adapter: a live adapter on it.
        work: what is scored.
        reference: the artefact of the reference, whose log-probabilities (N, V) lie beside its scores; None for itself.
        out: the folder to write to.
        ask: whether first turns are answered too, as far as it takes to see a call being opened.
    """
    keep_freed_memory()
    model, tokenizer = load_fast(folder, adapter)
    reader = Reader(model, tokenizer, [one.prompt for one in work.scored])
    theirs = np.load(reference / LOG_PROBABILITIES, mmap_mode="r") if reference else None
    read_to = min(len(work.opening) + _AFTER_OPENING, work.prompting.max_tokens) if ask else 0
    kept = _Kept(None if reference else out / LOG_PROBABILITIES, _count(work))
    numbers: list[TokenNumbers] = []
    margins: list[Margin] = []
    replies: list[Reply] = []
    done = 0
    for batch in _batches(ordered := _ordered(work)):
        branches = Branches(reader, [one.prompt for one in batch])
        states = _after_rows(branches, batch)
        for logits, targets in _forced(reader, states, batch):
            rows = None if theirs is None else theirs[done : done + len(targets)]
            found = token_numbers(logits, targets, rows, keep=reference is None)
            kept.add(found.log_probabilities)
            numbers.append(found._replace(log_probabilities=None))
            done += len(targets)
        opened = _opened(reader, branches, states, batch, work)
        margins += [_margin(one, logits, work) for one, logits in zip(batch, opened, strict=True)]
        if ask:
            replies += _replies(reader, batch, opened, work, read_to)
    rows = [one for one in ordered if one.continuation]
    tokens, without = _tokens(numbers, rows)
    file = ScoreFile(
        rows=tuple(ScoredRow(case=one.case.id, group=one.case.group) for one in rows),
        margins=tuple(margins),
        opening=tokenizer.decode(list(work.opening)),
        replies=tuple(replies),
        read_to=read_to,
        without_number=without,
        **{k: v for k, v in weights_of(folder, adapter).items() if k in ScoreFile.model_fields},
    )
    write_scores(Scores(file, tokens), out)
    del model, reader
    mx.clear_cache()  # the next model's weights have other shapes


class _Kept:
    """A file of log-probabilities (N, V) that is written piece by piece; none without a path."""

    def __init__(self, path: Path | None, count: int) -> None:
        self._path, self._count, self._done = path, count, 0
        self._file: np.memmap | None = None

    def add(self, logs: np.ndarray | None) -> None:
        if logs is None or self._path is None:
            return
        if self._file is None:
            shape = (self._count, logs.shape[1])
            self._file = np.lib.format.open_memmap(self._path, mode="w+", dtype=np.float32, shape=shape)
        self._file[self._done : self._done + len(logs)] = logs
        self._done += len(logs)
        if self._done == self._count:
            self._file.flush()


def _count(work: Work) -> int:
    return sum(sum(one.written) for one in work.scored)


def _ordered(work: Work) -> list[Scored]:
    """Prompts of similar length together, so that little is padded."""
    return sorted(work.scored, key=lambda one: (len(one.prompt) + len(one.continuation), one.case.id))


def _batches(ordered: Sequence[Scored]) -> Iterator[list[Scored]]:
    batch: list[Scored] = []
    longest = 0
    for one in ordered:
        longest = max(longest, len(one.prompt) + len(one.continuation))
        if batch and longest * (len(batch) + 1) > _TOKENS_AT_ONCE:
            yield batch
            batch, longest = [], len(one.prompt) + len(one.continuation)
        batch.append(one)
    if batch:
        yield batch


def _after_rows(branches: Branches, batch: list[Scored]) -> list[mx.array | None]:
    """The states (L, D) along each row's continuation; None for prompts without a row."""
    if not any(one.continuation for one in batch):
        return [None] * len(batch)
    states = branches.after([one.continuation or (0,) for one in batch])
    return [found if one.continuation else None for one, found in zip(batch, states, strict=True)]


def _forced(
    reader: Reader, states: list[mx.array | None], batch: list[Scored]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Logits (N, V) and the tokens (N,) that assistants wrote there, a bounded number at a time."""
    marked = [(found, _positions(one), one) for found, one in zip(states, batch, strict=True) if found is not None]
    if not marked:
        return
    chosen = mx.concatenate([found[mx.array(at)] for found, at, _ in marked])
    targets = np.array([one.continuation[i] for _, at, one in marked for i in at])
    start, step = 0, 1
    while start < len(targets):
        part = reader.logits(chosen[start : start + step])
        yield np.array(part, copy=False), targets[start : start + len(part)]
        start += len(part)
        step = max(1, _LOGITS_AT_ONCE // (4 * part.shape[-1]))


def _positions(one: Scored) -> list[int]:
    return [i for i, own in enumerate(one.written) if own]


def _opened(
    reader: Reader, branches: Branches, states: list[mx.array | None], batch: list[Scored], work: Work
) -> list[np.ndarray]:
    """For each prompt the logits (O, V) at the tokens of the call-opening string; rows that are calls know them."""
    length = len(work.opening)
    found = {
        i: states[i][:length]  # ty: ignore[not-subscriptable]  # a row that begins with the opening has states
        for i, one in enumerate(batch)
        if one.continuation[:length] == work.opening
    }
    if others := [i for i in range(len(batch)) if i not in found]:
        found |= zip(others, branches.after([work.opening] * len(batch), others), strict=True)
    return [np.array(reader.logits(found[i])) for i in range(len(batch))]


def _margin(one: Scored, logits: np.ndarray, work: Work) -> Margin:
    numbers = np.isfinite(logits).all()  # what is none favours neither
    odds = log_odds(*log_probability_and_rest(logits, np.array(work.opening))) if numbers else 0.0
    case = one.case
    return Margin(case=case.id, suite=case.suite, label=case.label, group=case.group, log_odds=odds)


def _replies(reader: Reader, batch: list[Scored], opened: list[np.ndarray], work: Work, read_to: int) -> list[Reply]:
    """Greedy first turns, as far as it takes to see whether a call is opened.

    Where the likeliest tokens are those of the opening, that is the greedy reply. Where already the first is another
    one and no blank, the reply is not a call. Only what goes on in another way is really written, ``read_to`` tokens.
    """
    likeliest = [logits.argmax(axis=-1).tolist() for logits in opened]
    known = [_decided(reader, tokens, work) for tokens in likeliest]
    if open_ones := [i for i, tokens in enumerate(known) if tokens is None]:
        branches = Branches(reader, [batch[i].prompt for i in open_ones])
        for i, answer in zip(open_ones, branches.greedy(set(work.stops), read_to), strict=True):
            known[i] = answer
    found = []
    for one, answer in zip(batch, known, strict=True):
        assert answer is not None
        text = reader.tokenizer.decode(list(answer.tokens))
        cut = one.case.model_copy(update={"max_tokens": read_to})
        found.append(read_reply(cut, text, answer.tokens, answer.finish, one.prompt, work.prompting, work.tools))
    return found


def _decided(reader: Reader, likeliest: list[int], work: Work) -> Generated | None:
    """The beginning of a greedy reply that decides it; None where more has to be written."""
    first = likeliest[0]
    if tuple(likeliest) == work.opening:
        return Generated(tokens=work.opening, finish="length")
    if first in work.stops:
        return Generated(tokens=(), finish="stop")
    if first == work.opening[0] or not reader.tokenizer.decode([first]).strip():
        return None
    return Generated(tokens=(first,), finish="length")


def _tokens(numbers: list[TokenNumbers], rows: list[Scored]) -> tuple[Tokens, int]:
    """The arrays of all tokens, and how many have no likelihood that is a number: weights overflowed, or are NaN."""
    nll, kl, same = (np.concatenate(parts) for parts in zip(*((n.nll, n.kl, n.same_top) for n in numbers), strict=True))
    tokens = Tokens(
        nll=np.where(np.isfinite(nll), nll, np.float32(NO_LIKELIHOOD)),
        kl=np.where(np.isfinite(kl), kl, np.float32(NO_LIKELIHOOD)),
        same=same,
        call=np.array([mark for one in rows for mark, own in zip(one.call, one.written, strict=True) if own]),
        row=np.repeat(np.arange(len(rows)), [sum(one.written) for one in rows]),
    )
    return tokens, int((~np.isfinite(nll)).sum())
