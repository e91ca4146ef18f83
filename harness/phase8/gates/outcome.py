"""The outcome of a run: exit code, word, reasons and one line. It is made here alone, and every view shows it. Pure."""

import signal
from collections.abc import Sequence
from typing import Literal

from phase8.core.values import Frozen
from phase8.gates.verdicts import holds_up, is_failure, is_undecided, judges, worst_first
from phase8.record.run import RunRecord, Verdict, VerdictFile

Word = Literal["pass", "fail", "inconclusive"]

TESTS_FAILED = 1  # of pytest: what a failed gate ends with too
_ENDS = {2: "interrupted", 3: "an internal error of pytest", 4: "pytest was used wrongly", 5: "no test was collected"}
_WORDS: dict[int, Word] = {0: "pass", 1: "fail", 3: "inconclusive"}
_NAMED = 3
_VARIANTS = 6


class Outcome(Frozen):
    """What a run came to.

    ``failed`` and ``undecided`` are the verdicts that speak against it, worst first; only blocking ones are undecided
    here. ``tests`` failed without a verdict that says why. ``ended`` says how pytest ended where that is a reason of
    its own; empty otherwise.
    """

    exit_code: Literal[0, 1, 3]
    word: Word
    headline: str
    judged: bool
    failed: tuple[Verdict, ...]
    undecided: tuple[Verdict, ...]
    tests: tuple[str, ...]
    ended: str

    @property
    def events(self) -> tuple[str, ...]:
        """The reasons that are no verdicts, a line each."""
        nothing = () if self.judged else ("nothing was judged",)
        return (*nothing, *(f"{test} failed" for test in self.tests), *([self.ended] if self.ended else []))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason for the exit code, a line each; none where the run passed."""
        if self.exit_code == 3:
            return tuple(f"{v.variant}: {v.gate}: {v.detail}" for v in self.undecided)
        failed = (f"{v.variant}: {v.gate}: {v.status}: {v.detail}" for v in self.failed)
        return (*self.events, *failed)


def outcome(record: RunRecord) -> Outcome:
    """The outcome of a run: 0 it passed, 1 something failed or was not judged, 3 inconclusive.

    A candidate cannot fail a run, so one that is inconclusive does not hold it up either, and neither does a gate
    that the profile leaves out of ``budgets.inconclusive_blocks``. A test that failed without a verdict, and a pytest
    that did not end well, fail it whatever was judged.
    """
    verdicts = record.verdicts
    judged = judges(verdicts)
    failed = tuple(worst_first(verdict for verdict in verdicts if is_failure(verdict)))
    undecided = tuple(worst_first(verdict for verdict in verdicts if holds_up(verdict)))
    ended = _ended(record.pytest_status, explained=bool(failed or record.failures))
    code: Literal[0, 1, 3] = 3 if undecided else 0
    if failed or record.failures or ended or not judged:
        code = 1
    return Outcome(
        exit_code=code,
        word=_WORDS[code],
        headline=_headline(record, code, failed, undecided, ended, judged),
        judged=judged,
        failed=failed,
        undecided=undecided,
        tests=record.failures,
        ended=ended,
    )


def verdict_file(record: RunRecord) -> VerdictFile:
    """What ``verdict.json`` holds of a run."""
    found = outcome(record)
    return VerdictFile(exit_code=found.exit_code, outcome=found.word, reasons=found.reasons, partial=record.partial)


def accounts_for(record: RunRecord, status: int) -> bool:
    """Whether a record already says why pytest ended with ``status``: it is written before pytest has ended."""
    return status in (0, record.pytest_status) or (status == TESTS_FAILED and outcome(record).exit_code != 0)


def _ended(status: int | None, *, explained: bool) -> str:
    """How pytest ended, where nothing else in the record says so."""
    if not status or (status == TESTS_FAILED and explained):
        return ""
    if status == TESTS_FAILED:
        return "pytest ended with 1, and neither a verdict nor a failed test says why"
    if status < 0:
        known = {one.value: one.name for one in signal.Signals}
        return f"pytest was ended by signal {known.get(-status, -status)}: the run is not whole"
    return f"pytest ended with {status} ({_ENDS.get(status, 'not one of its own codes')}): the run is not whole"


def _headline(
    record: RunRecord,
    code: int,
    failed: Sequence[Verdict],
    undecided: Sequence[Verdict],
    ended: str,
    judged: bool,
) -> str:
    """The outcome in one line; tests that failed are named."""
    verdicts = record.verdicts
    if code == 1:
        parts = [] if judged else ["nothing was judged"]
        parts += [f"{_gates(failed)} failed or missing"] if failed else []
        parts += [_tests(record.failures)] if record.failures else []
        line = f"FAIL: {'; '.join([*parts, *([ended] if ended else [])])}"
    elif code == 3:
        line = f"INCONCLUSIVE: {_gates(undecided)} could not be decided"
    elif passed := [verdict for verdict in verdicts if verdict.status == "pass"]:
        line = f"PASS: {_gates(worst_first(passed))}, none failed"
    else:
        line = "PASS: no gate failed, and none had to pass"
    return line + _remarks(record) + (" (PARTIAL run: not everything ran)" if record.partial else "")


def _remarks(record: RunRecord) -> str:
    """What else the one line holds: candidates, open gates that do not block, that nothing had to pass."""
    verdicts = record.verdicts
    expected = sum(v.status == "xfail" and v.role == "candidate" for v in verdicts)
    surprising = sum(v.status == "xpass" and v.role == "candidate" for v in verdicts)
    told = f"; candidates: {expected} xfail, {surprising} xpass" if expected or surprising else ""
    if free := sum(is_undecided(v) and not v.blocks for v in verdicts):
        told += f"; {free} inconclusive that do{'es' if free == 1 else ''} not block"
    if verdicts and not any(v.role == "production" for v in verdicts):
        told += "; no variant is production, so none had to pass"
    return told


def _tests(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} test{'s' if len(names) != 1 else ''} failed: {', '.join(names[:_NAMED])}{rest}"


def _gates(verdicts: Sequence[Verdict]) -> str:
    variants = list(dict.fromkeys(verdict.variant for verdict in verdicts))
    rest = f" and {len(variants) - _VARIANTS} more" if len(variants) > _VARIANTS else ""
    return f"{len(verdicts)} gate{'s' if len(verdicts) != 1 else ''} on {', '.join(variants[:_VARIANTS])}{rest}"
