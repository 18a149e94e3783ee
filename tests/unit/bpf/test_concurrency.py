"""Writers and the flush at the same time: each row is reported once, and the laws hold."""

from dataclasses import replace

import model
import pytest
from edges import EDGE, NEXT_EDGE, born_and_running, collect, started
from histories import (
    Collect,
    histories,
)
from hypothesis import given
from hypothesis import strategies as st
from machine import HostBackend
from model import SLEEPING, TASK_DEAD, Arrive, Exit, Fork, Release, Switch, Wake
from readings import assert_law_2, rows_of, total_of


def test_a_switch_in_the_middle_of_the_flush_is_reported_once_and_exactly(backend):
    """The flush copies the running task's row; another CPU switches it out past the edge before the row is claimed."""
    backend.play(*born_and_running())
    backend.happen_during_flush(Switch(EDGE + 4, 0, 0, None, prev_state=SLEEPING))
    first, second = collect(backend, EDGE + 3), collect(backend, NEXT_EDGE + 1, 4_000)
    assert [rows_of(w)[0]["running"] for w in (first, second)] == [900, 4]
    assert not any(first.losses.values())


@pytest.mark.parametrize("rolled", [False, True])
def test_a_death_in_the_middle_of_the_flush_is_reported_once(backend, rolled):
    """The flush copies the running task's row; before the row is claimed, the task exits and reports both windows."""
    backend.play(*born_and_running())
    if rolled:  # its bank is frozen: the flush checks no sequence number again, only the claim
        backend.play(Switch(EDGE + 1, 0, 0, None), Switch(EDGE + 1, 0, None, 0))
    backend.happen_during_flush(Exit(EDGE + 4, 0, 0))
    first, second = collect(backend, EDGE + 3), collect(backend, NEXT_EDGE + 1, 4_000)
    rows = [(row["running"], row["completion_ns"]) for w in (first, second) for row in rows_of(w).values()]
    assert rows == [(900, 0), (4, EDGE + 4)]
    assert [total_of(window)["running"] for window in (first, second)] == [900, 4]
    assert [int(record["total_cpu_ns"]) for w in (first, second) for record in w.tasks] == [900, 904]
    assert not any(first.losses.values())
    assert not any(second.losses.values())


@pytest.mark.parametrize("exits_at", [EDGE, EDGE + 4])
@pytest.mark.parametrize("room", [8, 0])
def test_an_exit_that_the_flush_overtakes_keeps_the_row_it_has_claimed(library, exits_at, room):
    """The task has completed, so the flush passes it over; its row is in the ring, or folded, only after the flush."""
    backend = started(library, ring_records=room)
    backend.play(*born_and_running())
    first = backend.collect_while_exiting(Exit(exits_at, 0, 0), EDGE + 5, NEXT_EDGE)
    backend.play(Switch(EDGE + 50, 0, 0, None, prev_state=TASK_DEAD))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [total_of(window)["running"] for window in (first, second)] == [900, exits_at - EDGE]
    assert [len(window.tasks) for window in (first, second)] == ([1, int(exits_at > EDGE)] if room else [0, 0])
    # Each window counts the drop of its own row.
    dropped = [window.losses["ring_dropped"] for window in (first, second)]
    assert dropped == ([0, 0] if room else [1, int(exits_at > EDGE)])
    assert_law_2(first)
    assert_law_2(second)


@pytest.mark.parametrize("after_advance", [False, True])
def test_an_exit_held_up_past_the_flush_keeps_the_laws_and_is_counted(backend, after_advance):
    late = Exit(EDGE - 10, 0, 0)
    backend.play(*born_and_running())
    first = collect(backend, held_up=() if after_advance else [late])
    if after_advance:
        backend.play(late)
    backend.play(Release(EDGE + 2, 0), Switch(EDGE + 30, 0, 0, None, prev_state=TASK_DEAD))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [total_of(window)["running"] for window in (first, second)] == [900, 0]
    assert first.losses["samples_discarded"] + second.losses["samples_discarded"] == 1
    assert_law_2(first)
    assert_law_2(second)


@pytest.mark.parametrize("after_advance", [False, True])
def test_a_writer_held_up_past_the_flush_counts_at_the_edge(backend, after_advance):
    late = Switch(EDGE - 10, 0, 0, None, prev_state=SLEEPING)
    backend.play(*born_and_running())
    first = collect(backend, held_up=() if after_advance else [late])
    if after_advance:
        backend.play(late)
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    rows = [rows_of(window)[0] for window in (first, second)]
    assert [(row["running"], row["blocked"]) for row in rows] == [(900, 0), (0, 1_000)]
    assert [row["voluntary_switches"] for row in rows] == [0, 1]
    assert first.losses["samples_discarded"] + second.losses["samples_discarded"] == 1


@given(history=histories(), most=st.integers(1, 4), back=st.integers(1, 50))
def test_writers_held_up_past_the_flush_keep_law_1(library, history, most, back):
    backend = HostBackend(library, history.cpus, history.first_edge, min_activity_ns=0)
    steps, latest = list(history.steps), 0
    while steps:
        step = steps.pop(0)
        if not isinstance(step, Collect):
            backend.play(step)
            latest = step.now
        elif step.edge == history.first_edge:
            backend.open_first_at(step.now, step.next_edge)
        else:
            held_up = []
            while steps and len(held_up) < most and isinstance(steps[0], (Wake, Switch, Exit)) and latest < step.edge:
                held_up.append(replace(steps.pop(0), now=max(latest, step.edge - back)))
            for row in rows_of(backend.collect_at(step.now, step.next_edge, held_up)).values():
                lived = sum(row[name] for name in ("running", *model.WAITS, "blocked", "iowait"))
                assert lived == row["alive_ns"]


def test_a_negative_wait_is_thrown_away_and_counted(backend):
    backend.play(Fork(1_500, 0), Arrive(1_500, 0), Switch(1_490, 0, None, 0))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (sum(row["wait_histogram"]), row["max_wait_ns"], row["running"]) == (0, 0, 500)
    assert window.losses["samples_discarded"] > 0
