"""The figures of a page about events, against a history on paper; and the page in a real browser."""

import json
import re

import pytest
from event_samples import everything
from event_words import FACTS, life, pieces, recorded, switch, wakeup

from schedtel.errors import RecordingError
from schedtel.eventlog import page
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording
from schedtel.report.page import write_page

MS, START = 1_000_000, 1_000_000_000
HOSTILE = b"</script><b>"
NAMES = {7: b"seven", 8: b"eight", 9: HOSTILE}


def at(ms):
    return START + int(ms * MS)


def history(where):
    """On CPU 1, 9 runs from 0 to 30 ms, and on. On CPU 0, 8 runs at the begin, until 1 ms. 9 wakes 7 at 5 ms, which
    comes to CPU 0 at 6 ms, wakes 8 at 8 ms and is preempted by it at 10 ms; at 14 ms 8 sleeps and 7 comes back, until
    20 ms.
    """
    cpu0 = [
        switch(at(1), 0, 8, state=1),
        switch(at(6), 7, 0),
        switch(at(10), 8, 7, state=0x100),
        switch(at(14), 7, 8, state=1),
        switch(at(20), 0, 7, state=1),
    ]
    cpu1 = [switch(at(0), 9, 0), wakeup(at(5), 7, 0), wakeup(at(30), 8, 0)]
    cpu0.insert(2, wakeup(at(8), 8, 0))
    lives = [life(START, 1, tid, name) for tid, name in NAMES.items()]
    facts = FACTS | {"start_ns": str(START), "cpus": "0,1"}
    return recorded(where, pieces({0: cpu0, 1: cpu1}, *lives), facts=facts)


def document(where, after_ns=0, length_ns=None):
    recording = EventRecording(where)
    return page.document_of(recording, Tasks(recording.tasks()), "name", after_ns, length_ns)


def rows(told):
    """Runs as (cpu, thread, begin, end, state, wait, waker, its CPU); times in ms."""
    runs, names = told["runs"], told["threads"]
    return [
        (
            runs["cpu"][i],
            names[runs["thread"][i]].partition("[")[0],
            runs["begin"][i] / MS,
            (runs["begin"][i] + runs["length"][i]) / MS,
            told["states"][runs["state"][i]] if runs["state"][i] >= 0 else None,
            runs["wait"][i] / MS,
            names[runs["waker"][i]].partition("[")[0] if runs["waker"][i] >= 0 else None,
            runs["waker_cpu"][i],
        )
        for i in range(len(runs["cpu"]))
    ]


def test_runs_waits_and_wakers_are_those_on_paper(tmp_path):
    told = document(history(tmp_path / "rec"))
    assert rows(told) == [
        (0, "eight", 0, 1, "S", 0, None, -1),
        (1, HOSTILE.decode(), 0, 30, None, 0, None, -1),
        (0, "seven", 6, 10, "R+", 1, HOSTILE.decode(), 1),
        (0, "eight", 10, 14, "S", 2, "seven", 0),
        (0, "seven", 14, 20, "S", 4, None, -1),
    ]
    assert told["recordings"] == [{"name": "name", "duration": 30 * MS}]
    assert told["gaps"] == []


def test_an_interval_has_the_runs_that_reach_into_it(tmp_path):
    told = document(history(tmp_path / "rec"), after_ns=11 * MS, length_ns=4 * MS)
    assert [(cpu, name, begin, end) for cpu, name, begin, end, *_ in rows(told)] == [
        (1, HOSTILE.decode(), -11, 19),
        (0, "eight", -1, 3),
        (0, "seven", 3, 9),
    ]
    assert told["recordings"][0]["duration"] == 4 * MS
    assert told["events"] == 1


def test_losses_in_the_interval_are_told(tmp_path):
    where = everything(tmp_path / "rec")
    told = document(where)
    assert sorted((gap["cpu"], gap["events"], gap["cause"]) for gap in told["gaps"] if gap["cause"] == "ring_full") == [
        (0, 3, "ring_full"),
        (1, 12, "ring_full"),
    ]
    assert document(where, length_ns=MS)["gaps"] == []


def test_a_page_has_a_bound_and_says_that_it_ends_earlier(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_RUNS", 3)
    told = document(history(tmp_path / "rec"))
    assert len(rows(told)) == 3
    assert (told["asked_ns"], told["recordings"][0]["duration"]) == (30 * MS, 10 * MS)


def test_an_interval_without_events_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"the recording lasts 0\.030000 s"):
        document(history(tmp_path / "rec"), after_ns=31 * MS)
    with pytest.raises(RecordingError, match="it has no event"):
        document(recorded(tmp_path / "empty", pieces({})))


def test_names_of_others_end_no_script(tmp_path):
    text = page.render(document(history(tmp_path / "rec")))
    assert HOSTILE.decode() not in text
    figures = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)[1]
    assert "</script><b>[9]" in json.loads(figures)["threads"]


# ---- in a browser ----


@pytest.fixture
def opened(chromium, tmp_path):
    """The page of the history, just opened; the browser must not have complained at the end."""
    write_page(page.render(document(history(tmp_path / "rec"))), tmp_path / "page.html")
    chromium.problems.clear()
    chromium.open(tmp_path / "page.html")
    yield chromium
    assert chromium.problems == []


def hover(opened, section, ms, lane):
    """The tooltip over a lane of the section's chart at a time."""
    opened.evaluate(f"document.querySelector('#{section} .chart').scrollIntoView()")
    x, y, width, _ = opened.box(f"#{section} .chart")
    left = x + min(190, width * 0.3)
    opened.mouse("mouseMoved", left + ms / 30 * (x + width - 14 - left), y + 8 + 22 * lane + 11)
    return opened.text("#tip")


def test_hovering_tells_what_runs_and_who_has_woken_it(opened):
    said = hover(opened, "cpus", 8, 0)
    assert "seven[7]" in said
    assert "4.00 ms" in said
    assert "was preempted (R+)" in said
    assert "1.00 ms" in said
    assert f"{HOSTILE.decode()}[9] on CPU 1" in said
    assert "eight[8]" in hover(opened, "cpus", 12, 0)
    assert "still on the CPU" in hover(opened, "cpus", 12, 1)


def test_searching_leaves_the_threads_that_match(opened):
    texts = "[...document.querySelectorAll('#threads .chart text')].map((text) => text.textContent)"
    labels = f"{texts}.filter((text) => text.includes('['))"
    assert len(opened.evaluate(labels)) == 3
    opened.evaluate(
        "Object.assign(document.getElementById('search'), { value: 'SEVEN' }).dispatchEvent(new Event('input'))"
    )
    assert opened.evaluate(labels) == ["seven[7]"]
    assert "1 of 3 threads" in opened.text("#cpus .tools")


def test_showing_a_wait_zooms_to_it(opened):
    assert opened.evaluate("document.querySelectorAll('#waits tbody tr').length") == 3
    opened.evaluate("document.querySelector('#waits tbody button').click()")
    assert "0.0088" in opened.text("#range"), opened.text("#range")


def test_without_a_mouse_it_is_read_and_zoomed_by_keys(opened):
    opened.evaluate("document.querySelector('#cpus .chart').focus()")
    opened.key("ArrowRight")
    assert "[7]" in opened.text("#spoken") or "[9]" in opened.text("#spoken")
    before = opened.text("#range")
    opened.key("+")
    assert opened.text("#range") != before


def test_wakeups_are_arrows(opened):
    arrows = "document.querySelectorAll('#{} .arrow').length"
    assert opened.evaluate(arrows.format("cpus")) == 1
    assert opened.evaluate(arrows.format("threads")) == 2
