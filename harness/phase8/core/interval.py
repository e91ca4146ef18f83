"""The interval that every estimate is recorded with."""

from phase8.core.values import Frozen


class Interval(Frozen):
    """A two-sided 95 % interval and the method it comes from."""

    low: float
    high: float
    method: str
