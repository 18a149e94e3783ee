"""The page as text: what it holds, what it must not hold, and which users may read it."""

import json
import os
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from samples import renamed
from timelines import SECOND, make_bin, make_timeline

from schedtel import UsageError
from schedtel.analysis.compare import compare
from schedtel.analysis.timeline import FIGURES, SAMPLES
from schedtel.records.histogram import FINE_EDGES_NS, TASK_EDGES_NS
from schedtel.report import RunSummary, document_of, render, tell, unlike, write_page
from schedtel.report.groups import OTHER, SMALLER, UNKNOWN, Groups

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028<!--&amp;"


class Page(HTMLParser):
    """The elements of a page, and the text within each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self._open:
            self.texts[self._open][-1] += data

    def figures(self) -> dict:
        (block,) = (i for i, (tag, a) in enumerate(self.of("script")) if a.get("type") == "application/json")
        return json.loads(self.texts["script"][block])

    def of(self, tag):
        return [element for element in self.elements if element[0] == tag]


def unpacked(packed: list[int], buckets: int) -> np.ndarray:
    counts, at = np.zeros(buckets, np.int64), 0
    for number in packed:
        if number < 0:
            at -= number
        else:
            counts[at] = number
            at += 1
    return counts


@pytest.fixture
def page(windows):
    return Page(render(document_of([tell(windows, "a recording", {"filter": "uid=0", "window": "100ms"})])))


def test_the_page_holds_the_numbers_of_the_recording(page, windows):
    (found,) = page.figures()["recordings"]
    assert found["facts"]["filter"] == "uid=0"
    assert found["facts"]["kernel"] == "6.18.0"
    assert found["end"] == [100_000_000, 200_000_000, 300_000_000]
    figure = found["figures"]["runqueue_length_avg"]
    below = found["denominators"][figure["d"]]
    for window, n, d in zip(windows, figure["n"], below, strict=True):
        assert n / d == pytest.approx(window.metrics.runqueue_length_avg, rel=1e-5)
    for i, window in enumerate(windows):
        expected = np.array(window.cpus["wait_histogram"].to_pylist()).sum(axis=0)
        np.testing.assert_array_equal(unpacked(found["samples"]["wait"]["counts"][i], 448), expected)
        busy, idle = window.cpus["busy_ns"].to_pylist(), window.cpus["idle_ns"].to_pylist()
        shares = [round(10_000 * b / (b + e)) for b, e in zip(busy, idle, strict=True)]
        assert [cpu[i] for cpu in found["cpus"]["busy"]] == shares


def test_of_several_hosts_all_are_named(windows):
    def of(window, host, kernel):
        summary = window.summary.to_pylist()[0] | {"host": host, "kernel": kernel}
        return replace(window, summary=pa.RecordBatch.from_pylist([summary], schema=window.summary.schema))

    seen = [("web1", "6.1"), ("web2", "6.1"), ("web1", "6.12")]
    summary = tell([of(window, *facts) for window, facts in zip(windows, seen, strict=True)], "fleet")
    (found,) = Page(render(document_of([summary]))).figures()["recordings"]
    assert (found["facts"]["host"], found["facts"]["kernel"]) == ("web1, web2", "6.1, 6.12")


def test_the_edges_come_with_the_page(page):
    assert page.figures()["edges"] == {"448": FINE_EDGES_NS.tolist(), "56": TASK_EDGES_NS.tolist()}


def test_losses_are_on_the_page_where_they_were():
    lost = [make_bin(i, {}, {}, losses=np.array([0, 0, 0, 5 * (i == 2)])) for i in range(4)]
    found = document_of([RunSummary("lossy", make_timeline(lost))])["recordings"][0]
    assert found["lost"] == {"programs_skipped": [0, 0, 5, 0]}


def test_nothing_on_the_page_comes_from_elsewhere(page, windows):
    text = render(document_of([tell(windows, "x")]))
    assert re.findall(r"\w+://", text) == []
    assert re.findall(r"@import|url\s*\(|//\w+\.\w", text) == []
    assert [tag for tag, a in page.elements if "src" in a or "href" in a] == []
    assert page.of("link") == page.of("iframe") == page.of("form") == []


def test_the_policy_of_the_page_allows_nothing_but_its_own_script_and_style(page):
    (policy,) = (a["content"] for _, a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert all(re.fullmatch(r"'sha256-[\w+/]+=*'", rules[kind]) for kind in ("script-src", "style-src"))
    assert "unsafe" not in policy


def test_a_hostile_name_stays_text(windows):
    summary = tell([renamed(window, HOSTILE) for window in windows], HOSTILE, {"filter": HOSTILE})
    text = render(document_of([summary]))
    page = Page(text)
    assert page.of("img") == []
    assert len(page.of("script")) == 2
    assert not any("\u2028" in script for script in page.texts["script"])
    (found,) = page.figures()["recordings"]
    assert found["name"] == found["facts"]["filter"] == HOSTILE
    assert HOSTILE in {group["name"] for group in found["groups"]["comm"]["top"]}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text)


def test_a_name_that_is_no_text_is_shown_as_far_as_it_goes(windows, tmp_path):
    write_page(render(document_of([tell(windows, "not\udcff text")])), tmp_path / "page.html")
    assert "not" in Page((tmp_path / "page.html").read_text()).texts["title"][0]


def test_only_the_owner_can_read_the_page(tmp_path):
    before = os.umask(0)
    try:
        write_page("x", tmp_path / "page.html")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_page_takes_the_place_of_an_older_one_at_once(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old")
    with open(target) as reader:
        write_page("new", target)
        assert reader.read() == "old"  # a reader of the old page goes on reading it
    assert target.read_text() == "new"


@pytest.mark.parametrize("place", ["missing/page.html", "."])
def test_where_nothing_can_be_written_nothing_is_left_behind(tmp_path, place):
    with pytest.raises(UsageError, match="cannot write"):
        write_page("x", tmp_path / place)
    assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.parent.glob("*.unfinished-*")) == []


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path):
    """Run by root, a page at /dev/null must not replace the device."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link.html", tmp_path / "target.html"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_page("text", pipe)
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link.symlink_to(target)
    write_page("text", link)
    assert link.is_symlink()
    assert target.read_text() == "text"
    assert sorted(tmp_path.iterdir()) == [link, pipe, target]


def crowded(number: int, random: np.random.Generator):
    """A bin of a busy host with 64 CPUs: a thousand waits in some hundred buckets, and a value of every figure."""
    values = {figure.name: random.random() * 1e7 for figure in FIGURES}
    samples = {s.name: random.lognormal(11, 2, 3000) for s in SAMPLES}
    cpus = {cpu: np.array([random.integers(SECOND), random.integers(SECOND)]) for cpu in range(64)}
    return make_bin(number, values, samples, cpus=cpus, windows=10)


def test_the_largest_timeline_makes_a_page_under_3_mb():
    random = np.random.default_rng(1)
    timeline = make_timeline([crowded(i, random) for i in range(1000)])
    timeline.stride = 10
    assert len(render(document_of([RunSummary("large", timeline)])).encode()) < 3e6


def test_a_page_of_two_has_both_and_the_comparison(windows):
    summaries = [tell(windows * 4, name) for name in ("one", "two")]
    comparison = compare(*(summary.timeline for summary in summaries), resamples=100).as_document()
    figures = Page(render(document_of(summaries, comparison))).figures()
    assert [recording["name"] for recording in figures["recordings"]] == ["one", "two"]
    assert {metric["verdict"] for metric in figures["comparison"]["metrics"]} <= {"none", "few"}


def test_two_recordings_say_in_what_else_they_differ():
    def of(facts, **changed):
        timeline = make_timeline([make_bin(0, {}, {}, **changed)])
        return RunSummary("x", timeline, facts=facts)

    a = of({"filter": "pid=12", "window": "1s"})
    assert unlike(a, of({"filter": "pid=34", "window": "1s"})) == []  # another run of a command
    b = of({"filter": "uid=0", "window": "5s"}, cpus={0: np.array([1, 1]), 1: np.array([1, 1])})
    assert unlike(a, b) == ["CPUs (1 / 2)", "filter (a process / uid=0)", "window (1s / 5s)"]


# ---- groups ----


@pytest.mark.parametrize("by", ["cgroup", "comm", "process"])
def test_groups_hold_all_time_once(windows, by):
    groups = Groups(by)
    for window in windows:
        groups.add(window)
    top = groups.top(100)
    for column in ("cpu_ns", "wait_ns", "blocked_ns"):
        assert sum(g[column] for g in top) == sum(sum(w.tasks[column].to_pylist()) for w in windows)


def test_groups_by_comm_are_those_of_the_window(windows):
    groups = Groups("comm")
    groups.add(windows[0])
    expected = {row["comm"]: row for row in windows[0].groups("comm").to_pylist()}
    for group in groups.top(100):
        row = expected["other" if group["name"] == OTHER else group["name"]]
        for column in ("cpu_ns", "wait_ns", "max_wait_ns", "wait_p50_ns", "wait_p99_ns"):
            assert group[column] == row[column], (group["name"], column)


def test_of_too_many_groups_the_small_ones_become_one_and_no_time_is_lost(windows):
    whole, folding = Groups("process"), Groups("process", most_groups=2)
    for window in windows:
        whole.add(window)
        folding.add(window)
    assert folding.folded > 0
    assert SMALLER in {group["name"] for group in folding.top(10)}
    for column in ("cpu_ns", "wait_ns", "waits", "bursts"):
        assert sum(g[column] for g in folding.top(10)) == sum(g[column] for g in whole.top(10))
    assert max(g["max_wait_ns"] for g in folding.top(10)) == max(g["max_wait_ns"] for g in whole.top(10))


@pytest.mark.parametrize("name", [OTHER, SMALLER, UNKNOWN])
def test_no_task_can_take_the_name_of_the_rest_and_be_counted_with_it(windows, name):
    groups = Groups("comm")
    for window in windows:
        groups.add(renamed(window, name))
    assert len([group for group in groups.top(9) if group["name"] == name]) == (2 if name == OTHER else 1)
    assert sum(g["cpu_ns"] for g in groups.top(9)) == sum(sum(w.tasks["cpu_ns"].to_pylist()) for w in windows)
