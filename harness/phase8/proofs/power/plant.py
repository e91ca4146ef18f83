"""What a planted regression is: the change, what somebody did wrong, and what the gate must say."""

from collections.abc import Callable
from dataclasses import dataclass, field

from phase8.proofs.power.record import Expected
from phase8.proofs.power.site import JUDGED, Site, replace

QUALITY = ("canonical", "accuracy", "calls", "held-out")


@dataclass(frozen=True)
class Plant:
    """One regression: what somebody did wrong, the change, and what the gate must say."""

    name: str
    what: str
    change: Callable[[Site], None] = field(repr=False)
    expected: Expected

    @property
    def timed(self) -> bool:
        """Whether only blocks can catch it; any other is gated without them, which costs it a finding less."""
        return "latency" in self.expected.checks


def says(*checks: str, subject: str = JUDGED, about: str = "", refusal: str = "", near: bool = False) -> Expected:
    """What must be said; of the judged model, where no other subject is given."""
    return Expected(checks=checks, subject=subject, about=about, refusal=refusal, may_be_inconclusive=near)


def in_profile(old: str, new: str) -> Callable[[Site], None]:
    """A change of the profile that is gated."""
    return lambda site: replace(site.folder / "power.toml", old, new)
