"""Regressions of the baseline itself: another machine's, damaged, gone, or nobody's."""

import gzip
from pathlib import Path

from phase8.core.errors import InvalidInput
from phase8.history.file import REPLIES, Stored, pack, read, write
from phase8.proofs.power.plant import Plant, says
from phase8.proofs.power.record import Expected
from phase8.proofs.power.site import Site
from phase8.record.run import VerdictFile

_RUN = "run"


def _accepted(site: Site) -> Path:
    (found,) = site.history.glob("*/*.json")
    return found


def _other_machine(site: Site) -> None:
    """The accepted run of another machine, whole and sound, copied into this lane's folder."""
    path, stored = _taken_out(site)
    record = stored.record.model_copy(update={"lane": stored.record.lane + "-elsewhere"})
    write(pack(record, _verdict(stored), stored.benchmarks, stored.summary.accepted), path.parent)


def _flipped_byte(site: Site) -> None:
    path = _accepted(site)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _changed_replies(site: Site) -> None:
    path = _accepted(site)
    beside = path.with_name(path.stem + REPLIES)
    told = gzip.decompress(beside.read_bytes())
    changed = told.replace(b'"decision":"answer"', b'"decision":"call"', 1)
    if changed == told:
        raise InvalidInput(f"{beside}: no reply that answers: there is nothing to change")
    beside.write_bytes(gzip.compress(changed, mtime=0))


def _no_replies(site: Site) -> None:
    path = _accepted(site)
    path.with_name(path.stem + REPLIES).unlink()


def _never_accepted(site: Site) -> None:
    """A run of this lane put there by hand, without anybody's reason."""
    path, stored = _taken_out(site)
    write(pack(stored.record, _verdict(stored), stored.benchmarks, None), path.parent)


def _no_baseline(site: Site) -> None:
    _taken_out(site)


def _taken_out(site: Site) -> tuple[Path, Stored]:
    """The accepted run, and where it was."""
    path = _accepted(site)
    stored = read(path)
    path.with_name(path.stem + REPLIES).unlink()
    path.unlink()
    return path, stored


def _verdict(stored: Stored) -> VerdictFile:
    told = stored.summary
    return VerdictFile(exit_code=told.exit_code, outcome=told.outcome, reasons=(), partial=told.partial)


def _input(about: str) -> Expected:
    return says("input", subject=_RUN, about=about)


HISTORY = (
    Plant("baseline-other-machine", "the baseline is another machine's", _other_machine, _input("another lane")),
    Plant("history-byte-flipped", "a byte of the accepted run is flipped", _flipped_byte, _input("damaged")),
    Plant("history-replies-changed", "a reply of the accepted run is changed", _changed_replies, _input("damaged")),
    Plant("history-replies-gone", "the accepted run's replies are deleted", _no_replies, _input("are missing")),
    Plant(
        "baseline-never-accepted",
        "a run nobody accepted is in the baseline's place",
        _never_accepted,
        _input("never accepted"),
    ),
    Plant("baseline-gone", "the accepted run is deleted", _no_baseline, _input("no baseline")),
)
