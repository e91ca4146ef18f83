"""The merge gate's report as a page shows it."""

from xml.etree import ElementTree

from phase8.regression.findings import Finding, Flip, gate_report
from phase8.report.gate_section import gate_html, gate_view
from phase8.report.write import html
from suites.unit.gates import timed
from suites.unit.records import record

FLIP = Flip(
    case="a", suite="held-out", turn=1, label="tool", query="Find it", before="old", after="new", change="same decision"
)


def finding(outcome: str = "regressed", **changes) -> Finding:
    """One finding on a variant."""
    values = {"check": "accuracy", "subject": "fused-5bit", "outcome": outcome, "detail": f"detail of {outcome}"}
    return Finding.model_validate({**values, **changes})


def test_the_gates_verdict_and_reasons_come_before_the_run() -> None:
    """One page to open; its only first heading is the gate's."""
    text = html(record(), gate=gate_report([finding("fine"), finding("regressed")]))
    places = [
        text.index(part)
        for part in ("<h1>Regressed", "detail of regressed", "detail of fine", '<header class="verdict pass" id="run">')
    ]
    assert places == sorted(places)
    assert text.count("<h1>") == 1
    assert "1 regressed; 1 fine" in text


def test_findings_are_divided_into_against_not_judged_and_fine() -> None:
    """Worst first; those that do not block say so."""
    view = gate_view(
        gate_report([finding("fine"), finding("not judged"), finding("regressed", blocks=False), finding("missing")])
    )
    assert [(one.finding.outcome, one.free) for one in view.against] == [("missing", False), ("regressed", True)]
    assert [len(view.unjudged), len(view.fine)] == [1, 1]


def test_lost_prompts_come_before_gained_ones_with_both_replies() -> None:
    """In the page too."""
    flips = tuple(FLIP.model_copy(update={"case": c, "change": c}) for c in ("gained", "lost"))
    report = gate_report([finding(flips=flips)])
    assert [flip.case for flip in gate_view(report).against[0].flips] == ["lost", "gained"]
    text = html(record(), gate=report)
    assert text.index("held-out/lost") < text.index("held-out/gained")
    assert text.count(">old</pre>") == text.count(">new</pre>") == 2


def test_a_diff_is_shown_line_by_line() -> None:
    """Its first two lines name the sides and are no change."""
    report = gate_report([finding(difference="--- baseline\n+++ run\n@@ -1 +1 @@\n-a\n+b\n c")])
    kinds = [line.kind for line in gate_view(report).against[0].difference]
    assert kinds == ["place", "place", "place", "removed", "added", "same"]


def test_what_does_not_fit_is_counted() -> None:
    """Five thousand flipped prompts, names, lines and reasons."""
    many = finding(flips=(FLIP,) * 5000, names=("x",) * 5000, difference="+x\n" * 5000)
    view = gate_view(gate_report([many] * 20))
    one = view.against[0]
    assert one.more_flips.startswith("… and 4,800 more prompts")
    assert one.more_names.startswith(" … and 4,600 more")
    assert one.difference[-1].text.startswith("… and 4,400 more lines")
    assert view.reasons[-1].startswith("… and 14 more")


def test_a_run_that_could_not_be_read_has_a_page_of_the_gate_alone() -> None:
    """It says so; hostile text in the reason stays text."""
    text = gate_html(gate_report([finding("invalid", detail="<script>alert(1)</script>\u202e")]))
    assert "<h1>Invalid: this run cannot be judged</h1>" in text
    assert "There is no run to show" in text
    assert "<script" not in text
    assert "\u202e" not in text


def test_blocks_are_drawn_with_their_bounds_on_both_sides_of_the_limit() -> None:
    """A row a quantity; what is beyond the limit stands to the right of it."""
    report = gate_report([finding()], latency=(timed(),))
    (chart,) = gate_view(report).latency
    svg = ElementTree.fromstring(chart.svg)
    x = [float(one.attrib["cx"]) for one in svg.iter("circle")]
    (limit,) = [float(one.attrib["x"]) for one in svg.iter("text") if one.text == "limit 1.05"]
    assert x[1] < limit < x[0]
    assert "Between two tokens: x 1.070 (1.060 to 1.080), 8 blocks, regressed" in chart.svg
    assert chart.svg in html(record(), gate=report)


def test_a_variant_that_could_not_be_timed_says_why() -> None:
    """No empty plot; its name stays text."""
    (chart,) = gate_view(gate_report([], latency=(timed("<b>x", quantities=(), why="no room"),))).latency
    assert (chart.svg, chart.caption) == ("", "no room.")
    assert "&lt;b&gt;x" in html(record(), gate=gate_report([], latency=(timed("<b>x"),)))
