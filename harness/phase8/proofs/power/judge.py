"""Whether a gate run caught what was planted, and what stayed quiet on identical runs. Pure."""

from collections.abc import Iterator, Sequence

from phase8.proofs.power.record import Expected, PairOutcome, PlantOutcome, PowerCase
from phase8.regression.findings import Finding, GateReport

_AGAINST = frozenset({"regressed", "missing", "invalid"})
_PAIRS: dict[int, PairOutcome] = {0: "fine", 1: "regressed", 2: "invalid", 3: "inconclusive"}
MOST_REGRESSED = 1 / 30  # of identical pairs
LEAST_FINE = 24 / 30


def judge_plant(
    expected: Expected, exit_code: int, report: GateReport | None, said: str
) -> tuple[PlantOutcome, tuple[str, ...]]:
    """Whether a planted regression was caught, and by which findings; what was found instead where it was not.

    Caught is an exit code of 1 or 2 with a finding that speaks against the run and names the right thing. A gate that
    fails for another reason has missed it.

    Args:
        expected: what must be said.
        exit_code: of the gate's process.
        report: its ``gate.json``; None where it wrote none.
        said: what it printed to standard error.
    """
    if report is None:
        refusals = tuple(line for line in said.splitlines() if expected.refusal and expected.refusal in line)
        return ("caught" if exit_code == 2 and refusals else "missed"), refusals or (_end(said),)
    if report.exit_code != exit_code:
        return "missed", (f"gate.json says {report.exit_code}, the process ended with {exit_code}",)
    if expected.refusal and exit_code == 2 and any(expected.refusal in reason for reason in report.reasons):
        return "caught", report.reasons
    if exit_code in (1, 2) and (found := tuple(_told(expected, report, _AGAINST))):
        return "caught", found
    if exit_code == 3 and expected.may_be_inconclusive:
        found = tuple(_told(expected, report, frozenset({"inconclusive"})))
        if found:
            return "inconclusive", found
    return "missed", report.reasons or (report.outcome,)


def judge_pair(exit_code: int, report: GateReport | None, said: str) -> tuple[PairOutcome, tuple[str, ...]]:
    """What the gate said of two identical sides. Without a report, or where nothing was timed, it is invalid."""
    if report is None or report.exit_code != exit_code:
        return "invalid", (_end(said),)
    if exit_code == 0 and not any(one.quantities for one in report.latency):
        return "invalid", tuple(f"{f.subject}: {f.check}: {f.detail}" for f in report.findings if f.check == "latency")
    return _PAIRS[exit_code], report.reasons


def as_it_should(cases: Sequence[PowerCase]) -> bool:
    """Whether nothing was missed and identical pairs were judged quietly enough; not where there is no case."""
    pairs = [case.outcome for case in cases if case.kind == "pair"]
    quiet = pairs.count("fine") >= LEAST_FINE * len(pairs) and pairs.count("regressed") <= MOST_REGRESSED * len(pairs)
    return bool(cases) and quiet and "invalid" not in pairs and not any(case.outcome == "missed" for case in cases)


def _told(expected: Expected, report: GateReport, outcomes: frozenset[str]) -> Iterator[str]:
    for finding in report.findings:
        if finding.blocks and finding.outcome in outcomes and _names(expected, finding):
            yield f"{finding.outcome}: {finding.subject}: {finding.check}: {finding.detail}"


def _names(expected: Expected, finding: Finding) -> bool:
    """Whether a finding is on the right check of the right subject, about the right thing."""
    if finding.check not in expected.checks or finding.subject != expected.subject:
        return False
    return not expected.about or expected.about in finding.names or expected.about in finding.detail


def _end(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1][-400:] if lines else "no gate.json, and nothing was said"
