"""Classes by bursts: threads on paper, whose CPU time, waits and bursts say what they are."""

import pytest
from acting import with_tasks

from schedtel.agent import classes as module
from schedtel.agent.classes import Caps, Classes

MS, S = 1_000_000, 1_000_000_000
#: A window of the sample is 100 ms long; it has 2 CPUs.
LENGTH = 100 * MS


def thread(tid, cpu_ms=0.0, wait_ms=0.0, bursts=0, unfinished=0, **others):
    times = {"cpu_ns": int(cpu_ms * MS), "wait_ns": int(wait_ms * MS), "alive_ns": LENGTH}
    counts = {"bursts": bursts, "bursts_unfinished": unfinished}
    return {"tid": tid, "tgid": tid, "start_boottime_ns": tid * S, "completion_ns": None} | times | counts | others


SHORT = thread(1, cpu_ms=10, bursts=5)
HOG = thread(2, cpu_ms=90, wait_ms=10, unfinished=1)
STARVED = thread(2, cpu_ms=0, wait_ms=100, unfinished=1)
IDLER = thread(3, cpu_ms=1, bursts=0)


def tids(classes, name):
    return [thread.tid for thread in classes.threads(name)]


@pytest.fixture
def known(windows):
    """Classes that have seen windows of these threads."""

    def seen(*rows, classes=None):
        classes = classes or Classes()
        for row in rows:
            classes.add(with_tasks(windows[0], row))
        return classes

    return seen


def test_two_windows_make_a_class(known):
    classes = known([SHORT, HOG, IDLER])
    assert (tids(classes, "short"), tids(classes, "hogs")) == ([], [])
    classes = known([SHORT, HOG, IDLER], [SHORT, HOG, IDLER])
    assert (tids(classes, "short"), tids(classes, "hogs")) == ([1], [2])
    assert (classes.count("short"), classes.count("hogs")) == (1, 1)


@pytest.mark.parametrize(
    "too_much",
    [thread(1, cpu_ms=42, bursts=2), thread(1, cpu_ms=51, bursts=30), thread(1, cpu_ms=60, unfinished=1)],
    ids=["long bursts", "too large a share", "one burst that goes on"],
)
def test_a_short_thread_that_computes_too_long_is_demoted_within_one_window(known, too_much):
    classes = known([SHORT], [SHORT])
    assert tids(classes, "short") == [1]
    known([too_much], classes=classes)
    assert tids(classes, "short") == []


def test_after_each_demotion_it_has_to_look_short_for_twice_as_long(known):
    too_much = thread(1, cpu_ms=60, bursts=1)
    classes = known([SHORT], [SHORT], [too_much])
    for patience in (4, 8, 16, 32, 64, 64):
        known(*[[SHORT]] * (patience - 1), classes=classes)
        assert tids(classes, "short") == []
        known([SHORT], classes=classes)
        assert tids(classes, "short") == [1]
        known([too_much], classes=classes)


def test_between_the_bounds_a_thread_stays_what_it_is(known):
    between = thread(1, cpu_ms=30, bursts=2)
    assert tids(known([between], [between], [between]), "short") == []
    assert tids(known([SHORT], [SHORT], [between], [between], [between]), "short") == [1]


def test_a_hog_that_gets_no_cpu_stays_one_and_one_that_sleeps_does_not(known):
    classes = known([HOG], [HOG], *[[STARVED]] * 5)
    assert tids(classes, "hogs") == [2]
    sleeps = thread(2, cpu_ms=1, bursts=10)
    known([sleeps], classes=classes)
    assert tids(classes, "hogs") == [2]
    known([sleeps], classes=classes)
    assert (tids(classes, "hogs"), tids(classes, "short")) == ([], [2])


def test_a_class_that_would_take_too_much_is_refused_as_a_whole(known):
    many = [thread(tid, cpu_ms=24, bursts=5) for tid in range(1, 6)]
    classes = known(many, many)
    assert tids(classes, "short") == []
    assert classes.count("short") == 0
    assert classes.refused == "short threads take 60 % of the CPUs, and 50 % is the most"
    known(many[:4], classes=classes)
    assert classes.refused, "48 % is above 80 % of the cap"
    known(many[:3], classes=classes)
    assert classes.refused == ""
    assert tids(classes, "short") == [1, 2, 3, 4, 5]


def test_threads_of_the_kernel_those_that_have_ended_and_the_row_other_are_of_no_class(known):
    rows = [SHORT | {"kernel_thread": True}, HOG | {"completion_ns": 5}, thread(0, cpu_ms=90, unfinished=1)]
    classes = known(rows, rows, rows)
    assert (tids(classes, "short"), tids(classes, "hogs")) == ([], [])


def test_a_thread_is_named_by_its_process_and_its_start_too(known):
    other = HOG | {"tgid": 9}
    classes = known([SHORT, other], [SHORT, other])
    assert (classes.threads("short"), classes.threads("hogs")) == ([(1, 1, S)], [(9, 2, 2 * S)])


def test_a_thread_that_is_not_seen_for_long_is_forgotten(known, monkeypatch):
    monkeypatch.setattr(module, "_FORGOTTEN", 3)
    classes = known([SHORT], [SHORT], [HOG], [HOG])
    assert tids(classes, "short") == [1]
    known([HOG], classes=classes)
    assert tids(classes, "short") == []


def test_caps_can_be_set(known):
    strict = Classes(Caps(burst_ns=2 * MS))
    assert tids(known([SHORT], [SHORT], classes=strict), "short") == []
