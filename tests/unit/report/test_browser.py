"""The page in a real browser: its console has no complaint, hovering tells exact values, zooming works."""

import re

import browser
import numpy as np
import pytest
from samples import renamed
from timelines import make_bin, make_timeline

from schedtel.analysis.compare import compare
from schedtel.analysis.preemption_sums import Preempted
from schedtel.report import RunSummary, document_of, render, tell, write_page

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no Chromium to look at the page with (chromium)")

MS = 1_000_000
HOSTILE = "</script><b id=owned>x</b>\u2028"


def summary_of(name: str) -> RunSummary:
    """Ten windows of a second; window i has i + 1 waits of 3 ms, a run queue of i, and Jain's index 0.9.

    In it, /batch preempts /web i + 1 times for 1 ms each, and is throttled for 10 ms.
    """
    figures = [
        {"runqueue_length_avg": i, "running_avg": 1.0, "fairness_jain": 0.9, "idle_share": 0.75} for i in range(10)
    ]
    samples = [{"wait": np.full(i + 1, 3 * MS), "tat": np.full(4, 50 * MS)} for i in range(10)]
    lost = [np.array([0, 0, 0, 7 * (i == 4)]) for i in range(10)]
    told = [Preempted({("/web", "/batch"): (i + 1, (i + 1) * MS, MS)}, {"/batch": 10 * MS}) for i in range(10)]
    bins = [make_bin(i, figures[i], samples[i], losses=lost[i], preempted=told[i]) for i in range(10)]
    return RunSummary(name, make_timeline(bins), facts={"window": "1s"})


@pytest.fixture(scope="module")
def paths(tmp_path_factory, windows):
    """Pages of one recording, of two, and of one with a hostile name."""
    folder = tmp_path_factory.mktemp("pages")
    summaries = [summary_of("one"), summary_of("two")]
    comparison = compare(summaries[0].timeline, summaries[1].timeline, resamples=100).as_document()
    documents = {
        "one": document_of([summary_of("a recording")]),
        "two": document_of(summaries, comparison),
        "hostile": document_of([tell([renamed(window, HOSTILE) for window in windows], HOSTILE)]),
    }
    for name, document in documents.items():
        write_page(render(document), folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in documents}


@pytest.fixture
def page(chromium, paths):
    """The page of one recording, just opened; the browser must not have complained at the end."""
    chromium.problems.clear()
    chromium.open(paths["one"])
    yield chromium
    assert chromium.problems == []


def chart(page, section: str, number: int = 0):
    """Left and right end and middle height of the plot of a section's chart, on the screen."""
    page.evaluate(f"document.querySelectorAll('#{section} .chart')[{number}].id = 'under-test'")
    x, y, width, height = page.box("#under-test")
    page.evaluate("document.getElementById('under-test').removeAttribute('id')")
    return x + 58, x + width - 14, y + height / 2


def hover(page, section: str, share: float, number: int = 0, up: float = 0.0) -> str:
    left, right, middle = chart(page, section, number)
    page.mouse("mouseMoved", left + share * (right - left), middle - up)
    return page.text("#tip")


def shown(page) -> tuple[float, float]:
    """The stretch of time in the toolbar, in seconds."""
    first, last = re.findall(r"([\d.]+) s", page.text("#range"))[:2]
    return float(first), float(last)


def test_hovering_over_the_load_says_the_exact_value_of_that_window(page):
    said = hover(page, "load", 0.75)  # the eighth of ten windows
    assert "7.00 tasks" in said
    assert "7.000 s + 1.00 s" in said
    assert "2023-11-14 22:13:27.000 UTC" in said  # the first window began at 1,700,000,000 s


def test_hovering_over_the_heat_map_counts_the_waits_of_that_duration(page):
    bins = hover(page, "waits", 0.35)
    assert "waits in all\t4" in bins


def test_a_window_that_lost_something_says_so(page):
    assert "lost: 7 programs_skipped" in hover(page, "fairness", 0.45)
    assert "lost" not in hover(page, "fairness", 0.65)
    assert page.evaluate("document.querySelectorAll('#load .lost').length") >= 1
    assert "7 events lost" in page.text("#head")


def test_dragging_over_a_chart_zooms_all_of_them_and_the_figures_follow(page):
    assert shown(page) == (0, 10)
    assert "4.50" in page.text("#glance")  # run queue: the mean of 0 to 9
    left, right, middle = chart(page, "load")
    page.drag(middle, left + 0.2 * (right - left), left + 0.5 * (right - left))
    assert shown(page) == pytest.approx((2, 5), abs=0.05)
    assert "3.00" in page.text("#glance")  # the mean of 2, 3 and 4
    ticks = page.evaluate(
        "[...document.querySelectorAll('#waits .chart')[0].querySelectorAll('text')].map(t => t.textContent)"
    )
    assert "3.0 s" in ticks
    assert "9 s" not in ticks
    page.evaluate("document.getElementById('reset').click()")
    assert shown(page) == (0, 10)


def test_who_preempted_whom_is_a_matrix_that_follows_the_zoom(page):
    whole = page.text("#preemptions")
    assert "55.0 ms" in whole  # 1 + 2 + … + 10
    assert "55 \xd7 1.00 ms" in whole
    assert "100 ms\t0.01" in whole
    left, right, middle = chart(page, "load")
    page.drag(middle, left + 0.2 * (right - left), left + 0.5 * (right - left))
    part = page.text("#preemptions")
    assert "12 \xd7 1.00 ms" in part  # in windows 3, 4 and 5
    assert "55 \xd7" not in part
    assert "30.0 ms\t" in part
    page.evaluate("document.getElementById('reset').click()")
    assert page.text("#preemptions") == whole


def test_everything_can_be_done_with_keys(page):
    page.evaluate("document.querySelectorAll('#load .chart')[0].focus()")
    page.key("Home")
    page.key("ArrowRight")
    assert "1.00 tasks" in page.text("#tip")
    assert "run" in page.text("#load h3").lower()
    assert "1.00 tasks" in page.evaluate("document.getElementById('spoken').textContent")
    page.key("+")
    assert shown(page) != (0, 10)
    page.key("0")
    assert shown(page) == (0, 10)


def test_percentiles_on_the_page_are_those_of_the_histograms(page):
    rows = page.evaluate("[...document.querySelectorAll('#distributions tbody tr')].map(r => r.innerText)")
    (tat,) = (row.split("\t") for row in rows if row.startswith("turnaround"))
    assert tat[1] == "40"
    assert tat[3:] == ["50.0 ms"] * 6  # the upper edge of its bucket is above 50 ms, but no sample is


def test_the_theme_is_the_readers_and_can_be_changed(page, paths):
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(back) != light
    page.open(paths["one"], scheme="dark")
    assert page.evaluate(back) != light
    assert page.text("#theme") == "Light"


@pytest.mark.parametrize("name", ["one", "two"])
def test_on_a_telephone_nothing_is_wider_than_the_screen(page, paths, name):
    page.open(paths[name], width=360, height=700)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_two_recordings_share_every_chart(page, paths):
    page.open(paths["two"])
    assert "no difference shown" in page.text("#verdict")
    said = hover(page, "load", 0.75)
    assert "A: waiting for a CPU" in said
    assert "B: waiting for a CPU" in said
    assert page.evaluate("document.querySelectorAll('#waits canvas:not(.scale)').length") == 2


def test_a_hostile_name_is_shown_and_not_obeyed(page, paths):
    page.open(paths["hostile"])
    assert "<b id=owned>" in page.text("h1")
    assert "<b id=owned>" in page.text("#groups tbody")
    assert "<b id=owned>" in page.text("#preemptions thead")
    assert "<b id=owned>" in page.text("#longest tbody")
    assert page.evaluate("document.getElementById('owned')") is None


def test_it_prints(page, paths, tmp_path):
    page.open(paths["one"], scheme="dark")
    page.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
