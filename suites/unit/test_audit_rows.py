"""Audits in the reports: how many prompts are stable, and the others by name."""

from phase8.record.run import RunRecord
from phase8.report.audit import audit_rows
from phase8.report.html import html
from phase8.report.markdown import markdown
from suites.unit import records
from suites.unit.audits import audit, prompt


def run() -> RunRecord:
    """One audited variant with an unstable prompt, and one that was not audited."""
    found = audit(prompt("async-await", "cold"))
    return records.record(variants=(records.variant(audit=found), records.variant("base", role="control")))


def test_a_row_counts_stable_prompts_and_names_the_others() -> None:
    """Variants without an audit have no row."""
    (row,) = audit_rows(run())
    assert (row.variant, row.prompts, row.stable, row.odds) == ("fused-5bit", 5, 4, 15)
    assert row.unstable == (("canonical/async-await", "cold from token 2 (0.0004 nats)"),)


def test_both_reports_name_unstable_prompts() -> None:
    """With the token from which the reply is another one."""
    for text in (markdown(run()), html(run())):
        assert "4 of 5 prompts" in text
        assert "canonical/async-await" in text
        assert "cold from token 2" in text


def test_a_run_without_audits_has_no_such_section() -> None:
    """Runs from before there were any."""
    run = records.record()
    assert "Determinism" not in markdown(run)
    assert "Determinism" not in html(run)
