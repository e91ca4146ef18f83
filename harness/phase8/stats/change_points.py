"""Where a measured quantity changed for good, over the runs of a lane."""

from collections.abc import Sequence
from math import log

LEAST_RUNS = 20
LEAST_SEGMENT = 3
_PENALTY = 4.0


def change_points(values: Sequence[float]) -> list[int]:
    """The positions at which the mean of a series moves and stays; the first value of each new stretch.

    PELT on squared deviations: Killick, Fearnhead and Eckley (2012), "Optimal detection of changepoints with a
    linear computational cost", JASA 107, 1590-1598, as in ``ruptures.KernelCPD`` with a linear kernel. Values are
    divided by their noise, estimated from the differences of neighbours (median absolute deviation), which a shift of
    the mean hardly moves; a change costs 4 ln n (BIC would be 2 ln n: Yao 1988; twice that, since the noise is
    estimated and runs of one machine are not independent). Steady white noise of 20 to 300 runs is said to
    change in fewer than 1 series of 10. Under 20 runs nothing is said.
    """
    import numpy as np

    if len(values) < LEAST_RUNS:
        return []
    from ruptures import KernelCPD  # with scipy: most of a second, for a plot alone

    series = np.asarray(values, dtype=float)
    steps = np.abs(np.diff(series))
    if not steps.any():
        return []
    # counts move in whole prompts: where most runs agree the noise is half of the smallest step
    noise = max(float(np.median(steps)) / (0.6745 * 2**0.5), float(steps[steps > 0].min()) / 2)
    found = KernelCPD(kernel="linear", min_size=LEAST_SEGMENT).fit((series / noise).reshape(-1, 1))
    return [int(position) for position in found.predict(pen=_PENALTY * log(len(values)))[:-1]]
