"""The longest waits of a window: both backends' programs against the model, and worked on paper."""

import model
import numpy as np
import pytest
import samples
from bcc_machine import HostBccBackend
from edges import EDGE, FIRST_EDGE, NEXT_EDGE, born_and_running, collect
from histories import printed_histories
from hypothesis import given
from hypothesis import strategies as st
from machine import HostBackend
from model import FIRST_TID, SLEEPING, Arrive, Exit, Fork, Switch, Wake
from player import play

from schedtel.records import layout
from schedtel.windows.invariants import check
from schedtel.windows.tables import NOBODY
from schedtel.windows.wait_table import MOST_WAITS, waits_batch

MACHINES = {"core": (HostBackend, "library"), "bcc": (HostBccBackend, "bcc_library")}


@pytest.fixture(scope="session", params=MACHINES)
def machine(request):
    """What makes a machine, and its library; once for each backend."""
    make, library = MACHINES[request.param]
    return make, request.getfixturevalue(library)


def begun(machine, cpus=1, **settings):
    """A machine in its window from FIRST_EDGE to EDGE."""
    make, library = machine
    backend = make(library, cpus, FIRST_EDGE, **settings)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    return backend


def queued_on(backend, task, cpu):
    """Let a task be queued on a CPU, as the kernel has it."""
    if isinstance(backend, HostBccBackend):
        backend.queued[FIRST_TID + task] = cpu
    else:
        backend.library.host_queue(task, cpu, 0)


def told(window, *names):
    """The rows of the table ``waits`` of a raw window, with these columns alone if any are named."""
    rows = waits_batch(1, window.waits).to_pylist()
    return [{name: row[name] for name in names} if names else row for row in rows]


def in_words_of_the_model(row):
    names = ("tid", "kind", "wait_start_ns", "wait_ns", "goes_on")
    ended = {"cpu": row["cpu"], "behind": row["behind_comm"]} if not row["goes_on"] else {"cpu": None, "behind": None}
    return {name: row[name] for name in names} | ended


def selected_of(rows, tids):
    return [row for row in rows if row["tid"] in tids]


def assert_longest(rows, expected):
    """The rows are the longest of those expected. Of waits that are as long as the shortest told, any may be."""
    assert [row["wait_ns"] for row in rows] == [row["wait_ns"] for row in expected[:MOST_WAITS]]
    cut = rows[-1]["wait_ns"] if len(expected) > MOST_WAITS else 0
    certain = [row for row in expected if row["wait_ns"] > cut]
    assert [in_words_of_the_model(row) for row in rows][: len(certain)] == certain


# ---- against the model ----


@given(history=printed_histories)
def test_the_longest_waits_equal_the_models(machine, history):
    for (start, end), window in zip(history.windows, play(*machine, history), strict=True):
        assert_longest(told(window), model.longest_waits(history.events, start, end))


@given(history=printed_histories, uids=st.lists(st.integers(1, 2), min_size=12, max_size=12))
def test_a_filter_tells_the_waits_of_the_tasks_that_it_selects(machine, history, uids):
    tids = {FIRST_TID + task for task, uid in enumerate(uids) if uid == 1}
    windows = play(*machine, history, uids, by_uid=1, uid=1)
    for (start, end), window in zip(history.windows, windows, strict=True):
        assert_longest(told(window), selected_of(model.longest_waits(history.events, start, end), tids))


@given(history=printed_histories, least=st.sampled_from([0, 1, 5_000]))
def test_the_laws_hold(library, history, least):
    windows = [
        samples.build(raw, n) for n, raw in enumerate(play(HostBackend, library, history, min_activity_ns=least), 1)
    ]
    for window in windows:
        assert [finding for finding in check(window) if finding.law.startswith("10") and not finding.holds] == []


# ---- on paper: windows from 1000, 2000, 3000 ... ns ----


def test_a_starving_task_is_at_the_top_with_the_task_that_has_its_cpu(machine):
    """Task 0 is the hog, on CPU 0; task 1 waits for that CPU from 1400 to 4250. CPU 1 is idle."""
    backend = begun(machine, cpus=2)
    backend.play(*born_and_running(), Fork(1_400, 1), Arrive(1_400, 1))
    queued_on(backend, 1, 0)
    windows = [collect(backend), collect(backend, NEXT_EDGE + 1, 4_000), collect(backend, 4_001, 5_000)]
    backend.play(Switch(4_250, 0, 0, 1, preempt=True))
    windows.append(collect(backend, 5_001, 6_000))
    first = [told(window)[0] for window in windows]
    assert [(row["tid"], row["wait_ns"], row["goes_on"]) for row in first] == [
        (FIRST_TID + 1, 600, True),
        (FIRST_TID + 1, 1_600, True),
        (FIRST_TID + 1, 2_600, True),
        (FIRST_TID + 1, 2_850, False),
    ]
    assert {(row["wait_start_ns"], row["kind"], row["cpu"]) for row in first} == {(1_400, "wakeup", 0)}
    assert {(row["behind_tid"], row["behind_comm"], row["comm"]) for row in first} == {(FIRST_TID, "task-0", "task-1")}
    # The hog waits in the last window, for 750 ns.
    assert told(windows[3], "tid", "wait_ns", "kind", "goes_on")[1] == {
        "tid": FIRST_TID,
        "wait_ns": 750,
        "kind": "preempt",
        "goes_on": True,
    }


def test_a_wait_behind_no_task_is_behind_an_idle_cpu(machine):
    """As where a bandwidth limit stops a task: it loses its CPU while runnable, and the CPU goes idle."""
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(1_700, 0, 0, None, preempt=True))
    queued_on(backend, 0, 0)
    windows = [collect(backend)]
    backend.play(Switch(2_400, 0, None, 0))
    windows.append(collect(backend, NEXT_EDGE + 1, 4_000))
    found = [told(window, "wait_ns", "goes_on", "kind", "cpu", "behind_tid", "behind_comm")[0] for window in windows]
    idle = {"kind": "preempt", "cpu": 0, "behind_tid": 0, "behind_comm": NOBODY}
    assert found == [{"wait_ns": 300, "goes_on": True} | idle, {"wait_ns": 700, "goes_on": False} | idle]


def test_a_wait_that_ends_before_a_late_flush_is_told_without_its_cpu(machine):
    """At the edge the task waited since 1700. It has its CPU again and lost it twice when the flush comes."""
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(1_700, 0, 0, None, preempt=True), Switch(EDGE + 100, 0, None, 0))
    backend.play(Switch(EDGE + 200, 0, 0, None, prev_state=SLEEPING), Wake(EDGE + 300, 0))
    queued_on(backend, 0, 0)
    first = told(collect(backend, EDGE + 310))
    assert [(r["wait_start_ns"], r["wait_ns"], r["kind"], r["goes_on"]) for r in first] == [
        (1_700, 300, "preempt", True)
    ]
    assert [(r["cpu"], r["behind_tid"], r["behind_comm"]) for r in first] == [(None, None, None)]
    second = told(collect(backend, NEXT_EDGE + 1, 4_000), "wait_start_ns", "wait_ns", "kind", "goes_on")
    assert second == [
        {"wait_start_ns": EDGE + 300, "wait_ns": 700, "kind": "wakeup", "goes_on": True},
        {"wait_start_ns": 1_700, "wait_ns": 400, "kind": "preempt", "goes_on": False},
    ]


def test_a_task_that_exits_before_a_late_flush_waited_at_the_edge(machine):
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(1_900, 0, 0, None, preempt=True))
    backend.play(Switch(EDGE + 50, 0, None, 0), Exit(EDGE + 60, 0, 0))
    found = told(collect(backend, EDGE + 70), "tid", "wait_start_ns", "wait_ns", "kind", "goes_on", "comm")
    assert found == [
        {
            "tid": FIRST_TID,
            "wait_start_ns": 1_900,
            "wait_ns": 100,
            "kind": "preempt",
            "goes_on": True,
            "comm": "task-0",
        }
    ]


def test_a_wait_that_began_before_tracing_is_told_with_the_part_since_then(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    backend.task(0, comm="old")
    backend.standing(0, on_rq=1)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    for edge, wait in ((EDGE, 1_100), (NEXT_EDGE, 2_100)):
        [row] = told(collect(backend, edge + 1, edge + 1_000), "tid", "wait_start_ns", "wait_ns", "goes_on", "kind")
        assert row == {"tid": FIRST_TID, "wait_start_ns": None, "wait_ns": wait, "goes_on": True, "kind": "preempt"}


@pytest.mark.parametrize("order", [1, -1], ids=["rising", "falling"])
def test_no_more_than_the_longest_are_told_and_none_of_them_is_missed(machine, order):
    """A task loses its CPU 14 times; each wait has another length."""
    backend, now = begun(machine), 1_100
    backend.play(*born_and_running())
    lengths = [10 + 7 * turn for turn in range(14)][::order]
    for length in lengths:
        backend.play(Switch(now, 0, 0, None, preempt=True), Switch(now + length, 0, None, 0))
        now += length
    assert now < EDGE
    found = told(collect(backend), "wait_ns", "goes_on")
    assert found == [{"wait_ns": ns, "goes_on": False} for ns in sorted(lengths, reverse=True)[:MOST_WAITS]]


def test_the_next_window_begins_anew(machine):
    """A long wait in a window hides no shorter one in the next."""
    backend = begun(machine)
    backend.play(*born_and_running(), Switch(1_300, 0, 0, None, preempt=True), Switch(1_900, 0, None, 0))
    backend.play(Switch(EDGE + 10, 0, 0, None, preempt=True), Switch(EDGE + 15, 0, None, 0))
    assert [row["wait_ns"] for row in told(collect(backend, EDGE + 20))] == [600]
    assert [row["wait_ns"] for row in told(collect(backend, NEXT_EDGE + 1, 4_000))] == [5]


def test_where_the_switch_to_the_cpu_was_not_delivered_nobody_is_named(machine):
    """Task 1 leaves a CPU that it was not seen to take: it may have been behind anybody."""
    backend = begun(machine)
    backend.play(*born_and_running(), Fork(1_300, 1), Arrive(1_300, 1))
    if isinstance(backend, HostBackend):
        backend.slice_ns(1, 200)  # by the kernel's books
    backend.play(Switch(1_400, 0, 0, None, prev_state=SLEEPING), Switch(1_800, 0, 1, None, prev_state=SLEEPING))
    window = collect(backend)
    rows = [row for row in told(window) if row["tid"] == FIRST_TID + 1]
    assert [(row["behind_tid"], row["behind_comm"], row["goes_on"]) for row in rows] == [(None, None, False)]
    assert window.losses["programs_skipped"]


# ---- the table ----


def test_a_table_without_waits_is_empty():
    empty = waits_batch(1, np.zeros((layout.WAIT_KINDS, 3), layout.WAIT))
    assert empty.num_rows == 0


def test_what_is_not_known_is_null_and_names_are_text():
    waits = np.zeros((layout.WAIT_KINDS, 2), layout.WAIT)
    waits["wait_ns"][1] = (5, 7)
    waits["tid"][1], waits["tgid"][1] = (1, 2), (1, 1 << 31 | 2)
    waits["comm"][1] = (b"ls\0emd", b"\xffa")
    waits["behind_tid"][1], waits["behind_comm"][1] = (9, layout.WAIT_TID_UNKNOWN), (b"[/x]", b"stale")
    waits["cpu"][1], waits["goes_on"][1] = (3, layout.WAIT_CPU_UNKNOWN), (0, 1)
    assert waits_batch(4, waits).to_pylist() == [
        {
            "window_id": 4,
            "tid": 2,
            "tgid": None,
            "start_boottime_ns": None,
            "comm": "\\xffa",
            "cpu": None,
            "kind": "preempt",
            "wait_start_ns": None,
            "wait_ns": 7,
            "goes_on": True,
            "behind_tid": None,
            "behind_comm": None,
        },
        {
            "window_id": 4,
            "tid": 1,
            "tgid": 1,
            "start_boottime_ns": None,
            "comm": "ls",
            "cpu": 3,
            "kind": "preempt",
            "wait_start_ns": None,
            "wait_ns": 5,
            "goes_on": False,
            "behind_tid": 9,
            "behind_comm": "[/x]",
        },
    ]
