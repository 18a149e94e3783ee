"""The age of a wait that goes on past a window's edge, worked on paper: windows from 1000, 2000, 3000 ... ns."""

import itertools

import numpy as np
import pytest
from bcc_machine import HostBccBackend
from edges import EDGE, FIRST_EDGE, NEXT_EDGE, born_and_running, collect, started
from histories import History, printed_histories
from hypothesis import given
from hypothesis import strategies as st
from machine import HostBackend
from model import SLEEPING, TASK_DEAD, Arrive, Exit, Fork, Switch, Wake
from player import play
from readings import rows_of

from schedtel.kernel.bcc import slots
from schedtel.records import layout

MACHINES = {"core": (HostBackend, "library"), "bcc": (HostBccBackend, "bcc_library")}
UNKNOWN = int(layout.OPEN_WAIT_UNKNOWN)


@pytest.fixture(scope="session", params=MACHINES)
def machine(request):
    """What makes a machine, and its library; once for each backend."""
    make, library = MACHINES[request.param]
    return make, request.getfixturevalue(library)


def begun(machine, **settings):
    """A machine of one CPU in its window from FIRST_EDGE to EDGE; every task has a row, unless ``settings`` differ."""
    make, library = machine
    backend = make(library, 1, FIRST_EDGE, **({"min_activity_ns": 0} | settings))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    return backend


def collect_all(backend, edges, late=1):
    """Collect a window at each of these edges; the next edge is 1000 ns later."""
    return [backend.collect_at(edge + late, edge + 1_000) for edge in edges]


def open_waits(windows, task=0):
    return [rows_of(window)[task]["open_wait_ns"] for window in windows]


def test_a_wait_grows_by_a_window_each_until_it_ends_whole(machine):
    backend = begun(machine)
    backend.play(Fork(1_400, 0), Arrive(1_400, 0))
    waiting = collect_all(backend, [EDGE, 3_000, 4_000])
    backend.play(Switch(5_250, 0, None, 0))
    ended = collect_all(backend, [5_000, 6_000], late=500)
    assert open_waits([*waiting, *ended]) == [600, 1_600, 2_600, 3_600, 0]
    rows = [rows_of(window)[0] for window in (*waiting, *ended)]
    assert [row["waits_unfinished"] for row in rows] == [1, 1, 1, 1, 0]
    assert [row["max_wait_ns"] for row in rows] == [0, 0, 0, 0, 3_850]


def test_a_frozen_bank_keeps_the_age_at_its_own_edge(machine):
    """The collector is late: past the edge, the wait has ended, and another has begun."""
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(1_700, 0, 0, None, preempt=True), Switch(EDGE + 100, 0, None, 0))
    backend.play(Switch(EDGE + 200, 0, 0, None, preempt=True))
    first, second = collect(backend, EDGE + 300), collect(backend, NEXT_EDGE + 1, 4_000)
    assert open_waits([first, second]) == [300, 800]
    assert [rows_of(window)[0]["max_wait_ns"] for window in (first, second)] == [0, 400]


def test_a_wait_that_begins_past_the_edge_is_none_of_the_window_before(machine):
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(EDGE + 10, 0, 0, None, preempt=True))
    assert open_waits([collect(backend, EDGE + 20), collect(backend, NEXT_EDGE + 1, 4_000)]) == [0, 990]


def test_a_wait_from_the_edge_to_the_edge_is_open_in_one_window(machine):
    """An event at an edge belongs to the later window: so does the wait that begins there, and the end of another."""
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(EDGE, 0, 0, None, preempt=True))
    windows = [collect(backend)]
    backend.play(Switch(NEXT_EDGE, 0, None, 0))
    windows += [collect(backend, NEXT_EDGE + 1, 4_000), collect(backend, 4_001, 5_000)]
    assert open_waits(windows) == [0, 1_000, 0]
    assert [rows_of(window)[0]["max_wait_ns"] for window in windows] == [0, 0, 1_000]


def test_a_task_that_exits_before_a_late_flush_had_its_wait_at_the_edge(machine):
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(1_900, 0, 0, None, preempt=True), Switch(EDGE + 50, 0, None, 0))
    backend.play(Exit(EDGE + 60, 0, 0), Switch(EDGE + 70, 0, 0, None, prev_state=TASK_DEAD))
    windows = [collect(backend, EDGE + 100), collect(backend, NEXT_EDGE + 1, 4_000)]
    assert open_waits(windows) == [100, 0]


def test_what_sleeps_or_runs_has_no_open_wait(machine):
    backend = begun(machine)
    backend.play(*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1), Switch(1_300, 0, 0, 1, prev_state=SLEEPING))
    windows = [collect(backend)]
    backend.play(Wake(EDGE + 100, 0))
    windows.append(collect(backend, NEXT_EDGE + 1, 4_000))
    assert [open_waits(windows, task) for task in (0, 1)] == [[0, 900], [0, 0]]


def test_other_has_the_longest(machine):
    backend = begun(machine, by_uid=1, uid=5)
    backend.play(
        *(event for n, since in enumerate((1_600, 1_200, 1_900)) for event in (Fork(since, n), Arrive(since, n)))
    )
    window = collect(backend)
    assert (len(window.tasks), int(window.folded["open_wait_ns"].max())) == (0, 800)


def test_a_wait_older_than_tracing_has_no_known_age(library):
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    for task in (0, 1):
        backend.task(task)
        backend.standing(task, on_rq=1)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    first = collect(backend)
    backend.play(Switch(EDGE + 10, 0, None, 0), Switch(EDGE + 20, 0, 0, None, preempt=True))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [open_waits([first, second], task) for task in (0, 1)] == [[UNKNOWN, 980], [UNKNOWN, UNKNOWN]]


def test_other_passes_over_an_age_that_is_not_known(library):
    backend = HostBackend(library, 1, FIRST_EDGE, by_uid=1, uid=5)
    backend.task(0)
    backend.standing(0, on_rq=1)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    backend.play(Fork(1_500, 1), Arrive(1_500, 1))
    assert collect(backend).folded["open_wait_ns"].max() == 500


def test_slots_of_waits_older_than_tracing():
    """The same for arrays: a seeded slot that waits, and one that waited at the edge and has rolled since."""
    table = np.zeros(3, slots.SLOT)
    table["state"]["seqcount"]["phase"] = layout.PREEMPT_WAIT, layout.RUNNING, layout.PREEMPT_WAIT
    table["state"]["window"] = 0, 8, 7
    table["state"]["open_wait_ns"] = 1, UNKNOWN, 2
    table["state"]["wait_since_ns"] = 0, 0, 1_500
    assert slots.open_waits_ns(table, slots.Edges(7, 1_000, 2_000)).tolist() == [UNKNOWN, UNKNOWN, 500]
    folded = np.zeros(1, layout.FOLDED)
    slots.fold(folded, slots.records(table, slots.Edges(7, 1_000, 2_000)))
    assert folded["open_wait_ns"] == 500


def test_a_task_found_again_does_not_wait_since_before_it_was_lost(library, monkeypatch):
    """No flush reaches the task for a whole window. What it did meanwhile is not known, nor when its wait began."""
    backend = started(library)
    backend.play(Fork(1_100, 0), Arrive(1_100, 0))
    with monkeypatch.context() as nobody:
        nobody.setattr(type(backend), "_run_iterator", lambda *_: None)
        collect(backend)
    backend.play(Switch(NEXT_EDGE + 100, 0, None, 0))
    backend.standing(0, on_rq=1)
    windows = [collect(backend, NEXT_EDGE + 200, 4_000), *collect_all(backend, [4_000, 5_000])]
    assert open_waits(windows[-1:]) == [UNKNOWN]
    backend.play(Switch(5_500, 0, None, 0))
    row = rows_of(collect(backend, 6_001, 7_000))[0]
    assert (row["preempt_wait"], row["max_wait_ns"]) == (500, 0)


def test_a_task_found_again_ends_no_burst_that_began_before_it_was_lost(machine, monkeypatch):
    backend = begun(machine)
    backend.play(Fork(1_100, 0), Arrive(1_100, 0))
    with monkeypatch.context() as nobody:
        nobody.setattr(type(backend), "_flush", lambda *_: None)
        collect(backend)
    backend.play(Switch(NEXT_EDGE + 100, 0, None, 0), Switch(NEXT_EDGE + 150, 0, 0, None, preempt=True))
    if hasattr(backend, "standing"):
        backend.standing(0, on_rq=1)
    collect_all(backend, [NEXT_EDGE, 4_000, 5_000], late=200)
    backend.play(Switch(5_500, 0, None, 0), Switch(5_600, 0, 0, None, prev_state=SLEEPING))
    row = rows_of(collect(backend, 6_001, 7_000))[0]
    assert (row["bursts"], row["voluntary_switches"]) == (0, 1)


@given(history=printed_histories, least=st.sampled_from([0, 1]))
def test_open_waits_agree_from_window_to_window(machine, history: History, least):
    """A wait that is open at two edges has grown by the window; one that has ended was no shorter than before."""
    windows = play(*machine, history, min_activity_ns=least)
    for before, window in itertools.pairwise(windows):
        now, length = rows_of(window), window.end_ns - window.start_ns
        for task, row in rows_of(before).items():
            if row["open_wait_ns"] and task in now:
                ended = sum(now[task]["wait_histogram"])
                assert row["open_wait_ns"] <= (
                    now[task]["max_wait_ns"] if ended else now[task]["open_wait_ns"] - length
                )
                assert ended or row["open_wait_ns"] + length == now[task]["open_wait_ns"]
    for window in windows:
        for row in rows_of(window).values():
            assert (row["open_wait_ns"] > 0) == bool(row["waits_unfinished"])
            assert row["open_wait_ns"] <= window.end_ns - row["arrival_ns"]
