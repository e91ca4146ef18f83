"""The report in a real browser: what it shows, hides, runs and asks for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from phase8.report.history import QUANTITIES
from suites.browser.conftest import THEMES

PAGES = ("run", "lane", "gate", "hostile", "unreadable")


def shown(page, selector: str) -> int:
    """How many of the elements are on the page to be seen, folded ones among them."""
    return page.locator(selector).evaluate_all("found => found.filter(e => !e.closest('[hidden]')).length")


def choose(page, **facets: str) -> None:
    """Set filters and wait until they were applied; ``text`` is typed."""
    for name, value in facets.items():
        if name == "text":
            page.locator("#filters [name=text]").fill(value)
        else:
            page.locator(f"#filters [name={name}]").select_option(value)
    page.wait_for_timeout(200)  # typing is waited out for 120 ms


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_loads_without_complaint_or_request_and_never_scrolls_sideways(look, name: str, theme, width) -> None:
    """No message, no error, no dialog, nothing fetched but the file itself; wide tables have boxes of their own."""
    seen = look(name, theme, width)
    seen.page.evaluate("document.querySelectorAll('details').forEach(found => { found.open = true })")
    size = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert size[0] <= size[1], size
    assert seen.complaints == []
    assert seen.requests == [seen.page.url]


def test_hostile_output_stays_text_and_runs_nothing(look) -> None:
    """Whatever is pressed, pointed at or opened."""
    seen = look("hostile")
    page = seen.page
    page.evaluate("document.querySelectorAll('details').forEach(found => { found.open = true })")
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, link, base, object, embed").count() == 0
    attributes = "e => [...e.attributes].map(a => a.name + '=' + a.value)"
    found = page.locator("*").evaluate_all(f"all => all.flatMap({attributes})")
    assert not [one for one in found if one.startswith("on")]
    assert not [one for one in found if one.startswith(("href=", "src=", "xlink:href=")) and "=#" not in one]
    for link in page.get_by_text("press").all()[:5]:
        link.dispatch_event("mouseover")
        link.dispatch_event("click")
    choose(page, text="window.broken")
    assert page.evaluate("window.broken") is None
    assert seen.complaints == []
    assert seen.requests == [page.url]
    raw = page.locator("details.reply pre").first.text_content()
    assert "<script>window.broken=1</script><img src=x onerror='window.broken=2'></pre>" in raw
    assert "{{ 7*7 }}" in raw


def test_control_and_bidi_marks_are_signs_on_the_page(look) -> None:
    """Nothing can reorder or hide what stands beside it."""
    text = look("hostile").page.evaluate("document.documentElement.outerHTML")
    assert "⟨U+001B⟩[31mred⟨U+009B⟩31m ⟨U+202E⟩gnp.exe⟨U+2066⟩" in text
    assert not {"\x1b", "\x9b", "\u202e", "\u2066"} & set(text)


def test_an_injected_script_is_refused_by_the_policy(look) -> None:
    """The second line of defence: even markup that got in could not act."""
    seen = look("run")
    seen.page.evaluate(
        """() => {
          const script = document.createElement('script'), pressed = document.createElement('div');
          script.textContent = 'window.broken = 1';
          pressed.setAttribute('onclick', 'window.broken = 2');
          document.body.append(script, pressed);
          pressed.click();
        }"""
    )
    assert seen.page.evaluate("window.broken") is None
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)


def test_the_variant_filter_keeps_the_rows_and_replies_of_that_variant(look) -> None:
    """In the verdict table, in measures and among the replies."""
    page = look("run").page
    assert shown(page, "#matrix tbody tr") == 4
    everything = shown(page, "details.reply")
    choose(page, variant="fused-8bit")
    assert page.locator("#matrix tbody tr:not([hidden]) th").all_text_contents() == ["fused-8bit"]
    assert shown(page, "details.reply") == 31 < everything
    assert shown(page, "[data-item=failure]") == 0
    assert page.locator("[data-empty=failure]").is_visible()
    assert page.locator("#shown").text_content() == "2 of 7 verdicts · 31 of 93 replies"


def test_the_verdict_filter_keeps_matching_gates(look) -> None:
    """Rows and columns without one go, and other cells are dimmed."""
    page = look("run").page
    choose(page, status="missing")
    assert page.locator("#matrix tbody tr:not([hidden]) th").all_text_contents() == ["fused-5bit"]
    assert page.locator("#matrix thead th:not([hidden])").all_text_contents() == ["variant", "held-out"]
    choose(page, status="pass")
    assert page.locator("#matrix tbody tr:not([hidden]) th").all_text_contents() == ["fused-8bit"]
    assert shown(page, "#matrix thead th") == 3
    choose(page, status="fails as it must")
    assert page.locator("#matrix tbody tr:not([hidden]) th").all_text_contents() == ["always-call"]


def test_replies_are_filtered_by_outcome_suite_and_text(look) -> None:
    """Each narrows what the others left; a group whose replies match is unfolded."""
    page = look("run").page
    choose(page, reply="wrong")
    assert shown(page, "details.reply") == 2 * (2 + 8 + 2)
    choose(page, suite="canonical")
    assert shown(page, "details.reply") == 2 * 2
    choose(page, text="orm-or-sql")
    assert shown(page, "details.reply") == 2
    assert page.locator("details.reply:not([hidden]) summary").first.is_visible()
    choose(page, text="nothing is called that")
    assert shown(page, "details.reply") == 0
    assert page.locator("[data-empty=reply]").is_visible()
    assert page.locator("[data-empty=matrix]").is_visible()


def test_clearing_the_filters_shows_everything_again(look) -> None:
    """With every column and every reply, and nothing dimmed."""
    page = look("run").page
    before = [shown(page, one) for one in ("#matrix th", "#matrix td", "details.reply", "tr")]
    choose(page, status="missing", reply="wrong", text="held")
    assert [shown(page, one) for one in ("#matrix th", "#matrix td", "details.reply", "tr")] != before
    page.locator("#filters [name=clear]").click()
    page.wait_for_timeout(100)
    assert [shown(page, one) for one in ("#matrix th", "#matrix td", "details.reply", "tr")] == before
    assert page.locator(".dim").count() == 0
    assert page.locator("details.group[open]").count() == 0


def test_a_reply_opens_on_click_with_the_raw_text_beside_what_was_parsed(look) -> None:
    """Beside it where there is room, below it on a phone."""
    for width, beside in ((1280, True), (390, False)):
        page = look("run", width=width).page
        page.locator("details.group > summary").first.click()
        page.locator("details.reply > summary").last.scroll_into_view_if_needed()
        page.locator("details.group[open] details.reply > summary").last.click()
        raw, parsed = page.locator("details.reply[open] pre").all()[:2]
        assert raw.is_visible()
        a, b = raw.bounding_box(), parsed.bounding_box()
        assert (a["x"] + a["width"] <= b["x"]) is beside


def test_without_javascript_the_verdict_and_every_reply_can_be_read(look) -> None:
    """The table is there, replies unfold by themselves, and no filter is offered."""
    page = look("run", scripts=False).page
    assert page.locator("h1").first.is_visible()
    assert page.locator("#matrix tbody tr").count() == 4
    assert page.locator("#matrix tbody tr").first.is_visible()
    assert page.get_by_text("60.0 %").first.is_visible()
    assert not page.locator("#filters").is_visible()
    page.locator("details.group > summary").first.click()
    page.locator("details.reply > summary").first.click()
    assert page.locator("details.reply pre").first.is_visible()


def test_the_gate_comes_first_with_its_worst_finding_flips_and_diff(look) -> None:
    """Then what is fine, folded; then the run itself."""
    page = look("gate").page
    assert page.locator("h1").count() == 1
    assert page.locator("h1").text_content().startswith("Regressed")
    outcomes = page.locator(".findings > [data-item=finding]").evaluate_all("all => all.map(e => e.dataset.status)")
    assert outcomes[0] == "regressed"
    assert outcomes == sorted(outcomes, key=["missing", "regressed", "inconclusive", "not judged", "fine"].index)
    assert page.locator(".flip").first.is_visible()
    assert page.locator(".flip pre").all_text_contents()[1] == "WRONG"
    assert page.locator(".diff .removed").first.text_content().startswith("-")
    assert page.locator(".diff .added").first.is_visible()
    top, below = (page.locator(one).bounding_box()["y"] for one in ("h1", "#run"))
    assert top < below
    choose(page, status="fine")
    assert shown(page, "[data-item=finding]") == outcomes.count("fine") > 0


def test_the_history_shows_a_lasting_change_and_a_chart_for_each_quantity(look) -> None:
    """From the runs of the lane before this one."""
    page = look("lane").page
    section = "#history ~ .charts"
    assert page.locator(section).first.locator("svg").count() == len(QUANTITIES)
    assert "Decode, tokens/s" in page.locator("[aria-label='Lasting changes'] tbody").text_content()


CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["run", "lane", "gate"])
def test_all_text_is_readable_in_both_themes(look: Callable, name: str, theme: str) -> None:
    """A contrast of 4.5 at least, as WCAG 2.2 asks for (1.4.3, level AA), computed from the styles in force."""
    page = look(name, theme).page
    page.evaluate("document.querySelectorAll('details').forEach(found => { found.open = true })")
    looked, poor = page.evaluate(CONTRAST)
    assert looked > 200
    assert poor == []


def test_the_two_themes_are_two(look) -> None:
    """Dark ink on light paper, and the other way round."""
    paper = [look("run", theme).page.evaluate("getComputedStyle(document.body).backgroundColor") for theme in THEMES]
    assert paper == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
