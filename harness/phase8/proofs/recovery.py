"""Recovery on cases whose answer is known: the delta multiplied by a factor between 0 and 1, at float width.

The answer comes from the live adapter at that scale, which is neither fused nor read through the caches of scoring:
its likelihood is computed a row at a time by the plain definition. At 0 it is the base and R is 0; at 1 it is 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from phase8.core.lazy_imports import np
from phase8.quant.layout import Target
from phase8.record.ladder import Recovery
from phase8.record.scores import read_scores
from phase8.survival.recovery import recovery
from phase8.survival.stage import SurvivalStage

FACTORS = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)
CLOSE = 0.01  # of the gain: more than what rounding the fused floats to the base's dtype costs


class Known(NamedTuple):
    """One factor: the share of the gain that is left by the plain definition, and as the harness finds it."""

    factor: float
    expected: float
    found: Recovery

    @property
    def close(self) -> bool:
        """Whether both agree; nothing found agrees with nothing."""
        return self.found.share is not None and abs(self.found.share.value - self.expected) <= CLOSE


def prove_recovery(stage: SurvivalStage, console: Console) -> int:
    """Print one line a factor; 1 where a share found is not the one expected."""
    console.print(f"{stage.flow.profile.name}: delta times a factor, fused as floats", highlight=False)
    known = known_shares(stage)
    for one in known:
        share = one.found.share
        told = one.found.outcome if share is None else f"{share.value:.4f}"
        bounds = f" ({share.interval.low:.4f} to {share.interval.high:.4f})" if share and share.interval else ""
        verdict = "agrees" if one.close else "DIFFERS"
        console.print(
            f"factor {one.factor:<4g}: R {one.expected:.4f} expected, {told}{bounds} found: {verdict}", highlight=False
        )
    wrong = sum(not one.close for one in known)
    said = f"{wrong} of {len(known)} DIFFER" if wrong else f"all within {CLOSE:g}"
    console.print(f"recovery: {said}", highlight=False)
    return 1 if wrong else 0


def known_shares(stage: SurvivalStage) -> list[Known]:
    """Every factor, expected and found."""
    from phase8.engine.score.reference_nll import live_nll, scaled

    flow = stage.flow
    base, adapter = flow.path(flow.base), flow.path(flow.adapter)
    known = []
    with flow.store.workspace("prove") as work:
        means = {f: float(np.mean(live_nll(base, scaled(adapter, f, work / f"x{f:g}"), stage.work))) for f in FACTORS}
        start = float(np.mean(live_nll(base, None, stage.work)))
        gained = start - means[1.0]
        for factor, mean in means.items():
            found = _found(stage, base, work / f"x{factor:g}", work)
            known.append(Known(factor, (start - mean) / gained, found))
    return known


def _found(stage: SurvivalStage, base: Path, adapter: Path, work: Path) -> Recovery:
    """What the harness makes of one adapter: fused as floats, scored, judged."""
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.score.score import score

    flow, reference = stage.flow, stage.reference.variant
    folder, out = work / f"{adapter.name}-fused", work / f"{adapter.name}-scores"
    folder.mkdir()
    out.mkdir()
    fuse(base, adapter, [(Target(bits=None, group_size=64, recipe="mlx-lm"), folder)])
    theirs = flow.path(stage.scores(reference))
    score(folder, None, stage.work, theirs, out, ask=False)
    start = read_scores(flow.path(stage.scores(flow.variant("base"))))
    return recovery(read_scores(out), start, read_scores(theirs), None, stage.settings.recovery_floor)
