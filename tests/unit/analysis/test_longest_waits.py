"""The longest waits of a recording: each wait once, of its last length."""

from dataclasses import replace

from samples import moved, replaced

from schedtel.analysis.longest_waits import LongestWaits
from schedtel.windows import tables

MS = 1_000_000
COLUMNS = ("tid", "wait_start_ns", "wait_ns", "goes_on")


def telling(window, number, *waits):
    """The window with this number of a history from 0 ns on, each of 100 ms, with these rows of ``waits``."""
    base = moved(window, number, start_ns=(number - 1) * 100 * MS, window_ns=100 * MS)
    rows = window.waits.slice(0, 1).take([0] * len(waits)) if waits else tables.empty("waits")
    columns = dict(zip(COLUMNS, map(list, zip(*waits, strict=True)), strict=True)) if waits else {}
    return replace(base, waits=replaced(rows, window_id=[number] * len(waits), **columns) if waits else rows)


def found(*windows):
    waits = LongestWaits()
    for window in windows:
        waits.add(window)
    return [(w.row["tid"], w.wait_ns, w.end_ns, w.goes_on) for w in waits]


def test_a_wait_of_many_windows_is_one_wait_with_its_last_length(windows):
    told = [
        telling(windows[0], 1, (7, 40 * MS, 60 * MS, True), (8, 10 * MS, 5 * MS, False)),
        telling(windows[0], 2, (7, 40 * MS, 160 * MS, True)),
        telling(windows[0], 3, (7, 40 * MS, 170 * MS, False), (8, 205 * MS, 3 * MS, False)),
    ]
    assert found(*told[:2]) == [(7, 160 * MS, 200 * MS, True), (8, 5 * MS, 15 * MS, False)]
    assert found(*told) == [
        (7, 170 * MS, 210 * MS, False),
        (8, 5 * MS, 15 * MS, False),
        (8, 3 * MS, 208 * MS, False),
    ]


def test_a_wait_that_began_before_tracing_is_one_as_well(windows):
    told = [telling(windows[0], number, (7, None, number * 100 * MS, True)) for number in (1, 2, 3)]
    assert found(*told) == [(7, 300 * MS, 300 * MS, True)]


def test_so_many_are_kept_and_they_are_the_longest(windows):
    waits = LongestWaits(most=3)
    for number in range(1, 20):
        start = (number - 1) * 100 * MS
        waits.add(telling(windows[0], number, (number, start, number * MS, False), (99, start + 50 * MS, 1, False)))
    assert [wait.wait_ns for wait in waits] == [19 * MS, 18 * MS, 17 * MS]
