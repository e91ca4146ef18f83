"""What a person reads after a run."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from phase8.core.safe_text import visible
from phase8.drawing.templating import TEMPLATES
from phase8.gates.outcome import outcome
from phase8.history.lanes import LaneRuns, runs_until
from phase8.record.ladder import RecipeSize
from phase8.record.run import RunRecord
from phase8.record.view import DECODE
from phase8.regression.findings import gate_report
from phase8.report.charts import charts, training_chart
from phase8.report.markdown import LIMIT
from phase8.report.rows import rows
from phase8.report.write import html, markdown, terminal, write
from suites.unit.ladders import answer, diagnosis, estimate, ladder, recovery, rung
from suites.unit.records import (
    canonical,
    environment,
    held_out,
    loss,
    probes,
    record,
    reply,
    samples,
    training,
    variant,
    verdict,
)

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)></pre></details></style>"
    "{{ 7*7 }} [bold]x[/nope] \x1b[31mred\x9b31m \u202egnp.exe שלום `tick` @everyone | pipe\n```\n# heading"
)


class Page(HTMLParser):
    """The tags, attributes and text of a page as a browser would find them."""

    def __init__(self, text: str) -> None:
        """Parse the page."""
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.texts.append(data)


def hostile_run() -> RunRecord:
    """A run with hostile text in every place that a model, a user's file or a machine fills."""
    evil = reply(HOSTILE, "direct", right=False, text=HOSTILE, query=HOSTILE, after_stop=HOSTILE, failure=HOSTILE)
    failed = verdict(HOSTILE, HOSTILE, "fail", detail=HOSTILE, failures=(HOSTILE,), unit=HOSTILE, measured=1.0)
    return record(
        variants=(variant(HOSTILE, replies=(evil,), latency={DECODE: samples(1.0, unit=HOSTILE, what=HOSTILE)}),),
        verdicts=(failed,),
        artefacts={HOSTILE: HOSTILE},
        training=training(modules=(HOSTILE,), rung=HOSTILE),
        profile_description=HOSTILE,
        lane=HOSTILE,
    )


def printed(run: RunRecord, width: int = 140) -> str:
    """What the terminal shows, control sequences included."""
    out = StringIO()
    terminal(run, Console(file=out, width=width, force_terminal=True), Path("reports/latest"))
    return out.getvalue()


def bare(text: str) -> str:
    """Terminal text without the colours that rich adds."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_hostile_output_stays_text_in_html() -> None:
    """No tag, no attribute and no control character of a reply reaches the page."""
    text = html(hostile_run())
    page = Page(text)
    assert not {"img", "iframe", "link"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script><img src=x onerror=alert(1)></pre>" in "".join(page.texts)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_hostile_output_does_not_unbalance_the_page() -> None:
    """A reply that closes tags closes none of ours."""
    text = html(hostile_run())
    for tag in ("details", "pre", "table", "style", "figure"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>")


def test_a_reply_is_shown_next_to_its_parsed_call_and_failure() -> None:
    """Raw text and what was read from it belong together."""
    broken = reply("broken", decision="malformed", text="raw reply", failure="bad JSON")
    text = html(record(variants=(variant(replies=(broken, reply("fine"))),)))
    assert text.index("bad JSON") < text.index("raw reply")
    assert "&#34;name&#34;: &#34;run_command&#34;" in text


def test_the_page_asks_for_nothing_from_outside() -> None:
    """One file that works offline."""
    page = Page(html(record()))
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "action")]
    assert all(value and value.startswith("#") for value in links)
    policy = next(value for name, value in page.attributes if value and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")


def test_the_only_script_that_can_run_is_the_pages_own() -> None:
    """The policy names the hash of what stands between the tags; no script is allowed by where it is."""
    text = html(hostile_run())
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert scripts == [(TEMPLATES / "report.js").read_text(encoding="utf-8")]
    named = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{named}'\"" in text.replace("&#39;", "'")


def test_the_page_shows_the_verdict_before_anything_else() -> None:
    """The first heading is the outcome."""
    text = html(record(verdicts=(verdict(status="fail"),)))
    heading = re.search(r"<h1>(.*?)</h1>", text)
    assert heading is not None
    assert heading[1].startswith("FAIL")
    assert text.index("<h1>") < text.index("<table")


def test_a_gate_that_did_not_judge_a_variant_says_so_in_the_matrix() -> None:
    """An empty cell would read like a pass."""
    text = html(record(variants=(variant("a"), variant("b")), verdicts=(verdict("a"),)))
    assert "not judged" in text[text.index('id="gates"') : text.index('id="measures"')]


def runs(*days: int) -> LaneRuns:
    """Runs of these days, this one last."""
    found = [runs_until(record(started=f"2026-01-{day:02}T09:00:00Z"), ()).runs[0] for day in days]
    return LaneRuns((*found, *runs_until(record(), ()).runs))


def test_the_history_of_the_lane_is_drawn_from_two_earlier_runs_on() -> None:
    """With one the page says how many there are, and without any that nothing was looked at."""
    drawn = html(record(), runs(1, 2))
    assert "3 runs up to this one" in drawn
    assert drawn.count("A dotted line is where") == 3
    assert "This lane has 1 earlier run; its course is drawn from 2 on." in html(record(), runs(1))
    assert "No history was looked at." in html(record())


def test_a_lasting_change_of_the_lane_is_on_the_page() -> None:
    """By the same rule as in the plot of the history."""
    slow, fast = ({DECODE: samples(rate)} for rate in (90.0, 100.0))
    found = [
        runs_until(record(started=f"2026-01-{day:02}T09:00:00Z", variants=(variant(latency=latency),)), ()).runs[0]
        for day, latency in [(day, fast if day < 15 else slow) for day in range(1, 29)]
    ]
    text = html(record(variants=(variant(latency=slow),)), LaneRuns(tuple(found)))
    assert "<td>Decode, tokens/s</td><td>fused-5bit</td><td>100</td><td>90</td><td>2026-01-15T09:00:00Z</td>" in text


def test_what_can_be_filtered_is_marked_with_what_it_is_filtered_by() -> None:
    """Rows and cells of the verdict table, failures and replies; controls by what their verdict means."""
    control = verdict("always-call", "control", "xfail", role="control")
    text = html(record(variants=(variant(replies=canonical(4)),), verdicts=(verdict(status="fail"), control)))
    found = Page(text).attributes
    assert ("data-status", "fail") in found
    assert ("data-status", "fails as it must") in found
    assert sum(one == ("data-reply", "wrong") for one in found) == 1
    assert sum(one == ("data-reply", "right") for one in found) == 4
    options = re.findall(r'<option value="([^"]*)"', text)
    assert options == [
        *["", "fused-5bit", "always-call", "", "fail", "fails as it must", "", "right", "wrong"],
    ]


def test_ids_in_the_page_are_unique() -> None:
    """Several charts in one page must not share clip paths or markers."""
    page = html(record(survival=ladder(rung(5))), runs(1, 2, 3), gate_report([]))
    ids = [value for name, value in Page(page).attributes if name == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_the_same_record_gives_the_same_bytes() -> None:
    """A report without a change is a diff without a change."""
    assert html(record()) == html(record())
    assert markdown(record()) == markdown(record())


@pytest.mark.parametrize("show", [html, markdown, printed])
def test_a_missing_measurement_is_shown_as_not_measured(show) -> None:
    """Never as 0."""
    text = bare(show(record(variants=(variant(latency={}, memory=None, replies=()),))))
    assert "not measured" in text
    assert "0/0" not in text
    assert "0.0 MB" not in text


def test_markdown_begins_with_the_verdict_and_the_worst_news() -> None:
    """A reader who stops after ten lines knows what is broken."""
    near = verdict(gate="near-gate", status="fail", measured=0.9, limit=1.0)
    far = verdict(gate="far-gate", status="fail", measured=0.1, limit=1.0)
    text = markdown(record(verdicts=(verdict(gate="fine-gate"), near, far)))
    assert text.startswith("# FAIL")
    assert text.index("far-gate") < text.index("near-gate") < text.index("## Measures")


def test_markdown_shows_failing_cases_with_their_replies() -> None:
    """Which prompt, what was expected, what came."""
    run = record(
        variants=(variant(replies=canonical(0)),), verdicts=(verdict(status="fail", failures=("view-functions",)),)
    )
    text = markdown(run)
    assert "`view-functions`: tool expected, found answer" in text
    assert "Dependency injection hands an object what it needs." in text


def test_markdown_is_short_enough_to_post_with_5000_long_failing_replies() -> None:
    """The limit of a comment is 65,536 characters; what is left out is counted."""
    cases = [f"case-{i}" for i in range(5000)]
    replies = tuple(reply(case, right=False, suite="held-out", text="`<|>`" * 2000) for case in cases)
    failed = [verdict(gate=f"gate-{i}", status="fail", detail="<*>" * 500, failures=tuple(cases)) for i in range(300)]
    text = markdown(record(variants=(variant(replies=replies),), verdicts=tuple(failed)))
    assert len(text) < LIMIT
    assert re.search(r"[\d,]+ more; report.html has all of them", text)


def test_markdown_is_short_enough_to_post_when_everything_is_long() -> None:
    """No part of the report may eat the room of another, and every escape counts."""
    names = [f"{i}" + "<" * 600 for i in range(120)]
    every = [verdict(name, name, status, detail="*" * 900) for name in names for status in ("xfail", "missing")]
    versions = {name: name for name in names}
    run = record(
        variants=tuple(
            variant(name, replies=(*held_out(1, 1), reply("p", suite="probe", category=name))) for name in names
        ),
        verdicts=(*every, *(verdict(name, "paired", "xfail", paired=loss(lost=(name,) * 50)) for name in names)),
        profile_description="<" * 5000,
        environment=environment(versions=versions, chip="<" * 5000),
        lane="<" * 5000,
    )
    text = markdown(run)
    assert len(text) < LIMIT
    assert "## How each number is defined" in text


def test_markdown_is_short_enough_to_post_whatever_the_run_holds() -> None:
    """A hostile run that is huge in every part; the verdict is still first, and what was cut is said."""
    names = [f"{HOSTILE}-{i}" for i in range(60)]
    rungs = [rung(i % 8 + 1, variant=name) for i, name in enumerate(names)]
    told = answer(HOSTILE * 50).model_copy(update={"notes": (HOSTILE,) * 500})
    wrong = tuple(reply(f"{HOSTILE}-{i}", right=False, text=HOSTILE * 20, suite="held-out") for i in range(200))
    run = record(
        variants=tuple(
            variant(name, replies=(*wrong, reply("p", suite="probe", category=HOSTILE)), replies_on=name)
            for name in names
        ),
        verdicts=tuple(
            verdict(name, f"{HOSTILE}{status}", status, detail=HOSTILE * 9, failures=tuple(r.case for r in wrong))
            for name in names
            for status in ("fail", "missing", "xfail", "not applicable", "inconclusive")
        )
        + tuple(verdict(name, "paired", "fail", paired=loss(lost=(HOSTILE,) * 500)) for name in names),
        profile_description=HOSTILE * 500,
        environment=environment(versions=dict.fromkeys(names, HOSTILE), chip=HOSTILE * 500, system=HOSTILE * 500),
        survival=ladder(*rungs, reference=HOSTILE, reference_reason=HOSTILE * 500, answer=told),
        failures=tuple(f"{HOSTILE * 9}-{i}" for i in range(500)),
    )
    text = markdown(run)
    assert 30_000 < len(text) < LIMIT
    assert text.startswith("# ")
    assert text.index("FAIL") < text.index("## What failed") < text.index("## Measures")
    assert "more; report.html has all of them" in text
    assert "@everyone" not in re.sub(r"`[^`\n]*`", "", re.sub(r"\\[^\w\s]", "", text))


def test_markdown_that_is_cut_says_how_much_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines, the worst news kept."""
    monkeypatch.setattr("phase8.report.markdown.LIMIT", 1500)
    text = markdown(record(verdicts=(verdict(status="fail"),)))
    assert len(text) < 1500
    assert text.startswith("# FAIL")
    assert re.search(r"\n- … \d+ more lines, cut to fit; report.html has all of them\n$", text)


def test_markdown_shows_the_turn_that_went_wrong() -> None:
    """Both turns of a conversation have one case name; the right one explains nothing."""
    first = reply("two-turns", "tool")
    second = reply("two-turns", "direct", right=False, turn=2, text="calls once more")
    failed = verdict(gate="second turn", status="fail", failures=("two-turns",))
    assert "calls once more" in markdown(record(variants=(variant(replies=(first, second)),), verdicts=(failed,)))


def test_hostile_output_stays_text_in_markdown() -> None:
    """No tag, no mention, no heading and no table cell comes out of a reply."""
    text = markdown(hostile_run())
    outside_code = re.sub(r"`[^`\n]*`", "", re.sub(r"\\[^\w\s]", "", text))  # escaped signs are text
    assert not re.search(r"<(script|img|/pre)", outside_code)
    assert "@everyone" not in outside_code
    assert "\n# heading" not in text
    assert "\x1b" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_markdown_names_what_was_not_applicable() -> None:
    """A check that was left out is printed by name."""
    text = markdown(record(verdicts=(verdict(), verdict(gate="second turns", status="not applicable"))))
    assert "**not applicable** `fused-5bit` second turns" in text


def probed_run() -> RunRecord:
    """A run with probes, unseen phrasings and a comparison with the adapter."""
    phrased = tuple(one.model_copy(update={"unseen": i < 10}) for i, one in enumerate(held_out(19)))
    judged = verdict(gate="accuracy vs adapter", status="inconclusive", blocks=False, paired=loss(lost=("probe-05",)))
    return record(variants=(variant(replies=canonical() + phrased + probes(5)),), verdicts=(verdict(), judged))


@pytest.mark.parametrize("show", [html, markdown])
def test_probes_are_reported_with_matrix_interval_and_categories(show) -> None:
    """Every share with its trials and its interval."""
    text = re.sub(r"\\", "", show(probed_run()))
    assert text.index("Hard probes") < text.index("Phrasings that training never saw")
    assert "5/6 = 83.3 % (35.9 to 99.6)" in text
    assert "tool (n=4)" in text
    assert "contrast-direct" in text
    assert "1/2 = 50.0 % (1.3 to 98.7)" in text


@pytest.mark.parametrize("show", [html, markdown])
def test_unseen_phrasings_are_reported_apart(show) -> None:
    """Seen ones make a held-out split look easy."""
    text = show(probed_run())
    assert "10/10 = 100.0 % (69.2 to 100.0)" in text
    assert "9/10 = 90.0 % (55.5 to 99.7)" in text


@pytest.mark.parametrize("show", [html, markdown])
def test_the_comparison_with_the_adapter_names_what_was_lost(show) -> None:
    """With the bound, where it comes from, and the verdict."""
    text = show(probed_run())
    part = text[text.index("Accuracy against the live adapter") :]
    assert "inconclusive" in part
    assert "3.1 %" in part
    assert "Query of probe-05" in part
    assert "direct expected" in part


@pytest.mark.parametrize("show", [html, markdown])
def test_a_run_without_probes_has_no_section_about_them(show) -> None:
    """Nothing was asked, so there is nothing to explain."""
    assert "Accuracy against the live adapter" not in show(record())


def test_hostile_names_of_probes_stay_text() -> None:
    """A user's own probes have names, categories and queries of any kind."""
    evil = reply(HOSTILE, "direct", right=False, suite="probe", query=HOSTILE, category=HOSTILE, group=HOSTILE)
    judged = verdict(HOSTILE, "accuracy vs adapter", "fail", paired=loss(lost=(HOSTILE,)))
    run = record(variants=(variant(HOSTILE, replies=(evil,)),), verdicts=(judged,))
    assert "img" not in Page(html(run)).tags
    assert Page(html(run)).tags.count("script") == 1
    text = markdown(run)
    outside_code = re.sub(r"`[^`\n]*`", "", re.sub(r"\\[^\w\s]", "", text))
    assert not re.search(r"<(script|img|/pre)", outside_code)
    assert "@everyone" not in outside_code
    assert "\n# heading" not in text


def test_the_terminal_shows_probes_within_its_width() -> None:
    """150 columns are what a CI log gets."""
    text = bare(printed(probed_run(), 150))
    assert "5/6 = 83.3 %" in text
    assert max(len(line) for line in text.splitlines()[:12]) <= 150
    assert "1 inconclusive that does not block" in text


def test_the_terminal_prints_failures_and_where_the_reports_are() -> None:
    """The table, the failing gate with its detail, the verdict, the path."""
    failed = verdict(status="fail", measured=0.6, limit=1.0, unit="share", detail="two cases lost", failures=("a", "b"))
    text = bare(printed(record(verdicts=(failed,))))
    assert "fail fused-5bit held-out: 60.0 %, limit 100.0 %" in text
    assert text.index("two cases lost") < text.index("cases: a, b") < text.index("FAIL: 1 gate")
    assert str(Path("reports/latest/report.html")) in text


def test_hostile_output_cannot_colour_or_break_the_terminal() -> None:
    """Neither rich markup nor escape sequences act."""
    text = printed(hostile_run())
    assert "\x1b[31mred" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/nope]" in " ".join(bare(text).split())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_never_cuts_a_number(width: int) -> None:
    """A narrow window folds cells; an ellipsis would hide digits."""
    assert "…" not in printed(record(), width)


def test_charts_leave_out_variants_without_bits_and_name_them() -> None:
    """A variant must not disappear without a word."""
    found = charts(rows(record(variants=(variant(), variant("fused-float", bits_per_weight=None)))))
    assert all("fused-float" in chart.caption and "fused-float" not in chart.svg for chart in found)


def test_charts_are_svg_whose_text_is_text_in_the_colour_of_the_page() -> None:
    """Readable in light and in dark, searchable, and without a background."""
    for chart in [*charts(rows(record())), training_chart(training())]:
        ElementTree.fromstring(chart.svg)
        assert "<text" in chart.svg
        assert "currentColor" in chart.svg
        assert "#ffffff" not in chart.svg


def test_nothing_measured_gives_no_chart_but_a_caption() -> None:
    """An empty chart would look like zeros."""
    found = charts(rows(record(variants=(variant(replies=(), latency={}, memory=None),))))
    assert all(chart.svg == "" and "fused-5bit" in chart.caption for chart in found)


def test_write_puts_both_reports_in_place_and_leaves_nothing_else(tmp_path: Path) -> None:
    """Files are moved into place whole."""
    out = tmp_path / "new" / "latest"
    write(record(), out)
    write(record(), out)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.md"]


def test_visible_keeps_letters_of_every_script_and_shows_what_would_act() -> None:
    """Hebrew and emoji stay, escape and override become signs."""
    assert visible("שלום 👩‍💻\n\tx") == "שלום 👩‍💻\n\tx"
    assert visible("\x1b\u202e\ud800") == "⟨U+001B⟩⟨U+202E⟩⟨U+D800⟩"


def test_the_smallest_safe_width_comes_first() -> None:
    """Before the verdict on the run, in all three reports; why others are not is beneath it."""
    run = record(survival=ladder(rung(8), rung(5), answer=answer()))
    assert markdown(run).splitlines()[0] == "# Smallest safe width: 5 bits (recovery 99.6 %)."
    page = Page(html(run))
    assert page.texts.index("Smallest safe width: 5 bits (recovery 99.6 %).") < page.texts.index(outcome(run).headline)
    lines = [line.strip() for line in bare(printed(run)).splitlines()]
    assert lines.index("Smallest safe width: 5 bits (recovery 99.6 %).") > lines.index("4 bits: not safe.") - 2


def test_every_rung_is_in_every_report() -> None:
    """With its recovery and its verdict."""
    run = record(survival=ladder(rung(8), rung(5), diagnoses=(diagnosis(),)))
    for text in (markdown(run), "".join(Page(html(run)).texts), bare(printed(run, 160))):
        assert "fused-8bit" in text
        assert "98.9 to 100.2 %" in text
    assert html(run).count("<title>model.layers.0.mlp.up_proj: ") == 5


def test_what_preserve_gains_is_shown_at_every_width() -> None:
    """Sizes of all, KL and recovery of the one that is fused in both."""
    sizes = tuple(RecipeSize(bits=bits, preserve_bytes=90_000_000, mlx_lm_bytes=120_000_000) for bits in (8, 5))
    other = rung(5, variant="fused-5bit.mlx-lm", recovery=recovery(share=estimate(0.981)), judged=False)
    run = record(survival=ladder(rung(8), rung(5), other, recipe_sizes=sizes))
    lines = [line for line in markdown(run).splitlines() if "-30.0 MB (-25.0%)" in line]
    assert lines == [
        "| 8 | 90.0 MB | 120.0 MB | -30.0 MB (-25.0%) | not scored | not scored |",
        "| 5 | 90.0 MB | 120.0 MB | -30.0 MB (-25.0%) | 0.002 / 0.002 | 99.6 % / 98.1 % |",
    ]
    texts = Page(html(run)).texts
    assert texts.count("-30.0 MB (-25.0%)") == 2
    assert "99.6 % / 98.1 %" in texts
    assert "What recipe preserve gains" not in markdown(record(survival=ladder(rung(8), rung(5))))


def test_hostile_text_in_a_ladder_is_text() -> None:
    """Module names and reasons come from folders that anybody made."""
    run = record(
        survival=ladder(rung(5, variant=HOSTILE), reference_reason=HOSTILE, opening=HOSTILE, answer=answer(HOSTILE))
    )
    page = Page(html(run))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert "\x1b[31m" not in printed(run).replace("\x1b[1;31m", "")


def test_a_run_without_a_ladder_says_nothing_of_it() -> None:
    """Old runs and profiles without [survival] load and show as before."""
    assert "ladder" not in markdown(record()).lower()
    assert "The ladder" not in html(record())
