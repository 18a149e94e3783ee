"""Lives: arithmetic on paper for the short history of tests/support/samples.py, and rows made impossible on purpose."""

from dataclasses import replace

import pytest
from samples import LENGTH, MS, START, changed, on_host, replaced

from schedtel.analysis.lifetimes import AFTER, BEFORE, BOTH, SCHEMA, WHOLE, lifetimes


def by_tid(windows):
    found = lifetimes(windows)
    rows = found.table.to_pylist()
    assert len({row["tid"] for row in rows}) == len(rows), "a life counts once"
    return {row["tid"]: row for row in rows}


def with_rows(window, **columns):
    """The window, in which these columns of all its tasks but ``other`` have these values."""
    count = window.tasks.num_rows
    rest = {name: window.tasks[name].to_pylist()[-1:] for name in columns}
    is_other = window.tasks["tid"].to_pylist()[-1] == 0
    values = {name: [value] * (count - is_other) + rest[name] * is_other for name, value in columns.items()}
    return replace(window, tasks=replaced(window.tasks, **values))


def test_a_life_is_one_row_whatever_number_of_windows_it_was_active_in(windows):
    """All five arrive at 1 ms. Task 3 has a CPU from 2 ms on and ends at 12 ms; the others run until the end."""
    rows = by_tid(windows)
    short = next(row for row in rows.values() if row["comm"] == "short")
    assert (short["arrival_ns"], short["first_cpu_ns"], short["completion_ns"]) == (
        START + MS,
        START + 2 * MS,
        START + 12 * MS,
    )
    assert (short["tat_ns"], short["rt_ns"], short["total_cpu_ns"]) == (11 * MS, MS, 10 * MS)
    assert (short["life"], short["broken"]) == (WHOLE, None)
    others = [row for row in rows.values() if row is not short]
    assert [row["life"] for row in others] == [AFTER] * 4
    assert {(row["completion_ns"], row["tat_ns"]) for row in others} == {(None, None)}, "missing, and not 0"
    web = [row for row in others if row["comm"] == "web"]
    # Task 0: 1 to 51 and 91 to 250 ms; task 1: 13 to 130 and 180 to 300 ms.
    assert sorted(row["total_cpu_ns"] for row in web) == [(50 + 159) * MS, (117 + 120) * MS]
    assert lifetimes(windows).broken.num_rows == 0


def test_the_last_that_is_known_of_a_life_holds(windows):
    """A task that slept through the last window has no row there, and keeps what it had."""
    rows = by_tid(windows)
    sleeper = next(row for row in rows.values() if row["comm"] == "sleeper")
    assert not any(row["comm"] == "sleeper" for row in windows[2].tasks.to_pylist())
    assert (sleeper["first_cpu_ns"], sleeper["total_cpu_ns"]) == (START + int(12.5 * MS), MS // 2)


def test_what_is_outside_of_the_windows_is_told_apart(windows):
    older = [with_rows(window, left_censored=True, first_cpu_ns=None, rt_ns=None) for window in windows]
    rows = by_tid(older)
    assert sorted(row["life"] for row in rows.values()) == [BEFORE, *[BOTH] * 4]
    assert {(row["first_cpu_ns"], row["rt_ns"]) for row in rows.values()} == {(None, None)}
    assert lifetimes(older).broken.num_rows == 0
    late = by_tid(windows[1:])
    assert {row["life"] for row in late.values()} == {BOTH}, "they arrived before the first window that is asked for"
    unknown = by_tid([with_rows(window, arrival_ns=None, tat_ns=None, rt_ns=None) for window in windows])
    assert {row["life"] for row in unknown.values()} == {BEFORE, BOTH}


def test_an_exec_by_a_thread_does_not_begin_another_life(windows):
    """From the second window on, each task has another tid, and the one that it had first beside it."""
    moved = [windows[0]]
    for window in windows[1:]:
        first = window.tasks["tid"].to_pylist()
        now = [tid and tid + 500 for tid in first]
        tasks = replaced(window.tasks, tid=now, previous_tid=[tid or None for tid in first])
        moved.append(replace(window, tasks=tasks))
    assert len(lifetimes(moved).table) == len(lifetimes(windows).table) == 5
    assert max(row["tid"] for row in lifetimes(moved).table.to_pylist()) > 500


def test_hosts_have_their_own_lives_and_clocks(windows):
    later = changed(on_host(windows[0], "other"), window_start_ns=START - 5 * LENGTH)
    found = lifetimes([windows[0], later])
    assert len(found.table) == 10
    assert found.starts_ns == {"testhost": START, "other": START - 5 * LENGTH}


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"first_cpu_ns": START, "rt_ns": -MS}, "not arrival <= first CPU"),
        ({"first_cpu_ns": START + 13 * MS, "rt_ns": 12 * MS}, "not first CPU <= completion"),
        (
            {"completion_ns": START, "tat_ns": -MS},
            "not first CPU <= completion; not arrival <= completion; not CPU <= TAT",
        ),
        ({"tat_ns": 12 * MS}, "not TAT = completion - arrival"),
        ({"tat_ns": None}, "not TAT = completion - arrival"),
        ({"rt_ns": 0}, "not RT = first CPU - arrival"),
        ({"total_cpu_ns": -1}, "not 0 <= CPU"),
        ({"total_cpu_ns": 11 * MS + 1}, "not CPU <= TAT"),
    ],
)
def test_a_row_that_is_not_possible_says_which_rule_it_breaks(windows, columns, rule):
    [at] = [number for number, row in enumerate(windows[0].tasks.to_pylist()) if row["comm"] == "short"]
    changes = {name: windows[0].tasks[name].to_pylist() for name in columns}
    for name, value in columns.items():
        changes[name][at] = value
    found = lifetimes([replace(windows[0], tasks=replaced(windows[0].tasks, **changes)), *windows[1:]])
    assert [(row["comm"], row["broken"]) for row in found.broken.to_pylist()] == [("short", rule)]


def test_a_life_that_goes_on_has_no_more_cpu_time_than_age(windows):
    """At the end of the third window, all are 299 ms old."""
    assert lifetimes([with_rows(w, total_cpu_ns=299 * MS) for w in windows[1:]]).broken.num_rows == 1
    assert lifetimes([with_rows(windows[2], total_cpu_ns=299 * MS)]).broken.num_rows == 0
    assert lifetimes([with_rows(windows[2], total_cpu_ns=299 * MS + 1)]).broken.num_rows > 0


def test_no_window_has_no_life():
    assert lifetimes([]).table.equals(SCHEMA.empty_table())
