"""The bcc backend's programs against the model, and beside the core backend's: any history, to the nanosecond."""

import model
import numpy as np
import pytest
from bcc_machine import DEAD, RUNNABLE, SLOTS, HostBccBackend
from histories import (
    COMPLETES_ON_THE_EDGE,
    DEAD_BEFORE_THE_WARM_UP_IS_DRAINED,
    FIRST_CPU_ON_THE_EDGE,
    UNHASHED_BEFORE_ITS_LAST_SWITCH,
    printed_histories,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from machine import HostBackend
from model import FIRST_TID, Arrive, Exit, Fork, Switch, Wake
from player import play
from readings import assert_cpus_equal_the_model, assert_rows_equal_the_model, rows_of, total_of

from schedtel.records import layout


@given(history=printed_histories, least=st.sampled_from([0, 1, 5_000]), looks=st.integers(0, 3))
@settings(max_examples=300)
@example(FIRST_CPU_ON_THE_EDGE, 0, 0)
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED, 0, 1)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH, 0, 1)
@example(COMPLETES_ON_THE_EDGE, 0, 0)
@example(COMPLETES_ON_THE_EDGE, 0, 1)
def test_every_row_equals_the_model_with_bcc(bcc_library, history, least, looks):
    assert_rows_equal_the_model(
        history, play(HostBccBackend, bcc_library, history, looks=looks, min_activity_ns=least), least
    )


@given(history=printed_histories)
@settings(max_examples=150)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH)
@example(COMPLETES_ON_THE_EDGE)
def test_every_cpu_equals_the_model_with_bcc(bcc_library, history):
    assert_cpus_equal_the_model(history, play(HostBccBackend, bcc_library, history))


@given(history=printed_histories, uids=st.lists(st.integers(1, 2), min_size=12, max_size=12))
def test_both_front_ends_agree_under_a_filter(library, bcc_library, history, uids):
    core = play(HostBackend, library, history, uids, by_uid=1, uid=1)
    for theirs, ours in zip(core, play(HostBccBackend, bcc_library, history, uids, by_uid=1, uid=1), strict=True):
        assert rows_of(ours) == rows_of(theirs)
        assert total_of(ours) == total_of(theirs)
        assert ours.cpus["samples"].tobytes() == theirs.cpus["samples"].tobytes()


@given(history=printed_histories, room=st.integers(1, 6))
def test_tasks_without_a_slot_are_counted_and_their_time_is_untracked(bcc_library, history, room):
    """Law 2 holds: what the CPUs ran is in rows, or is teardown, idle or untracked time."""
    windows = play(HostBccBackend, bcc_library, history, most_tasks=room)
    for window in windows:
        time = window.cpus["time_ns"].sum(axis=0)
        rest = sum(int(time[kind]) for kind in (layout.CPU_IDLE, layout.CPU_TEARDOWN, layout.CPU_UNTRACKED))
        assert total_of(window)["running"] + rest == (window.end_ns - window.start_ns) * history.cpus
    arrived = {step.task for step in history.steps if isinstance(step, Arrive)}
    followed = {int(row["tid"]) for window in windows for row in window.tasks}
    assert len(followed) <= len(arrived)


# ---- what only the bcc programs must get right ----


@pytest.fixture
def backend(bcc_library):
    """The bcc backend on two CPUs, in its window from 1000 to 2000 ns; every task has a row."""
    machine = HostBccBackend(bcc_library, 2, 1_000, min_activity_ns=0)
    machine.open_first_at(1_001, 2_000)
    return machine


def live_and_exit(backend, task, begin, cpu=0):
    for event in (Fork(begin, task), Arrive(begin, task), Switch(begin + 10, cpu, None, task)):
        backend.happen(event)
    backend.happen(Exit(begin + 50, task, cpu))


def test_a_tid_used_again_at_once_is_another_task(backend):
    """The first task has reaped itself and still runs when a new task gets its tid; their figures do not mix."""
    backend.task(0)
    live_and_exit(backend, 0, 1_100)
    backend.happen(Fork(1_160, 0))
    backend.happen(Arrive(1_160, 0))
    backend.happen(Switch(1_180, 1, None, 0))
    backend.happen(Switch(1_200, 0, 0, None, prev_state=model.TASK_DEAD))  # the last of the first task
    backend.happen(Switch(1_300, 1, 0, None, prev_state=model.SLEEPING))
    window = backend.collect_at(2_001, 3_000)
    rows = sorted(window.tasks, key=lambda row: int(row["arrival_ns"]))
    assert [int(row["arrival_ns"]) for row in rows] == [1_100, 1_160]
    assert [int(row["completion_ns"]) for row in rows] == [1_150, 0]
    assert [int(row["bank"]["time_ns"][layout.RUNNING]) for row in rows] == [40, 120]
    assert window.cpus["time_ns"][0][layout.CPU_TEARDOWN] == 50
    assert not any(window.losses.values())


def test_a_life_whose_end_was_not_delivered_ends_when_its_tid_is_used_again(backend):
    backend.task(0)
    for event in (Fork(1_100, 0), Arrive(1_100, 0), Switch(1_110, 0, None, 0)):
        backend.happen(event)
    backend.happen(Switch(1_200, 0, 0, None, prev_state=model.SLEEPING))
    backend.happen(Fork(1_500, 0))
    backend.happen(Arrive(1_500, 0))
    window = backend.collect_at(2_001, 3_000)
    assert sorted(window.tasks["completion_ns"].tolist()) == [0, 1_500]
    assert window.losses["programs_skipped"] == 1


def test_a_life_whose_end_was_not_delivered_ends_with_its_last_switch(backend):
    backend.task(0)
    for event in (Fork(1_100, 0), Arrive(1_100, 0), Switch(1_110, 0, None, 0)):
        backend.happen(event)
    backend.happen(Switch(1_400, 0, 0, None, prev_state=model.TASK_DEAD))
    window = backend.collect_at(2_001, 3_000)
    [row] = window.tasks
    assert (row["completion_ns"], row["bank"]["time_ns"][layout.RUNNING]) == (1_400, 290)
    assert window.losses["programs_skipped"] == 1


def test_an_exec_by_another_thread_takes_over_the_leaders_tid(bcc_library, backend):
    """The thread sleeps under its new tid, and the leader dies, before the exec event tells of the exchange of tids."""
    backend.task(0)
    backend.task(1, tgid=FIRST_TID)
    leader, thread = FIRST_TID, FIRST_TID + 1
    for event in (Fork(1_010, 0), Arrive(1_010, 0), Switch(1_020, 0, None, 0)):
        backend.happen(event)
    bcc_library.bcc_fork(1_030, 0, leader, thread, 0x10000)
    backend.happen(Arrive(1_030, 1))
    backend.happen(Switch(1_040, 1, None, 1))
    backend.happen(Exit(1_100, 0, 0))
    bcc_library.bcc_task(thread, leader, 0, b"task-0")  # the two exchange their tids
    bcc_library.bcc_switch(1_150, 1, leader, 0, 1)  # the thread leaves under the leader's tid
    bcc_library.bcc_switch(1_160, 0, thread, 0, DEAD)  # the leader leaves for good under the thread's
    backend.happen(Wake(1_200, 0))
    bcc_library.bcc_switch(1_210, 1, 0, leader, 0)
    bcc_library.bcc_task(leader, leader, 0, b"new-name")
    bcc_library.bcc_exec(1_250, 1, leader, thread)
    window = backend.collect_at(2_001, 3_000)
    rows = sorted(window.tasks, key=lambda row: int(row["arrival_ns"]))
    assert [(int(row["tid"]), int(row["previous_tid"])) for row in rows] == [(leader, 0), (leader, thread)]
    assert [row["comm"] for row in rows] == [b"task-0", b"new-name"]
    assert [int(row["completion_ns"]) for row in rows] == [1_100, 0]
    assert int(rows[1]["bank"]["wakeups"]) == 1
    assert not any(window.losses.values())


def test_a_task_that_nobody_told_of_is_left_censored(backend):
    """The task is older than tracing, and not in /proc any more: its accounting begins with its first event."""
    backend.task(0)
    backend.happen(Wake(1_200, 0))
    backend.happen(Switch(1_250, 0, None, 0))
    row = backend.collect_at(2_001, 3_000).tasks[0]
    assert row["left_censored"]
    assert (row["alive_ns"], row["bank"]["time_ns"][layout.RUNNING]) == (800, 750)
    assert row["first_cpu_ns"] == 0


def test_a_task_that_leaves_unseen_gives_its_cpu_back(backend):
    """The kernel withholds its switch-out: what the CPU does after its switch-in is untracked."""
    backend.task(0)
    for event in (Fork(1_100, 0), Arrive(1_100, 0), Switch(1_200, 0, None, 0)):
        backend.happen(event)
    backend.task(1)
    backend.happen(Fork(1_300, 1))
    backend.happen(Arrive(1_300, 1))
    backend.happen(Switch(1_700, 0, None, 1))
    window = backend.collect_at(2_001, 3_000)
    assert window.cpus["time_ns"][0][layout.CPU_UNTRACKED] == 500
    times = {int(row["tid"]) - FIRST_TID: int(row["bank"]["time_ns"][layout.RUNNING]) for row in window.tasks}
    assert times == {0: 0, 1: 300}
    assert window.losses["programs_skipped"] == 1


def test_slots_are_used_again_and_again(backend):
    """There are many more lives than slots, and the collector reports ended lives in between."""
    for life in range(5 * SLOTS):
        now = 1_010 + life
        backend.task(life % 300)
        for event in (Fork(now, life % 300), Arrive(now, life % 300), Switch(now, 0, None, life % 300)):
            backend.happen(event)
        backend.happen(Exit(now, life % 300, 0))
        backend.happen(Switch(now, 0, life % 300, None, prev_state=model.TASK_DEAD))
        if life % 16 == 15:
            backend._pool._reported_ns[backend._pool._reported_ns > 0] = 1  # as if the slots had rested long enough
            backend.look()
    window = backend.collect_at(2_001, 3_000)
    assert window.losses["state_failed"] == 0
    assert int(window.folded["tasks"].sum()) + len(window.tasks) == 0, "no life lasted a nanosecond"
    assert len(np.flatnonzero(backend._pool._tids)) < SLOTS


def test_a_preempted_task_is_runnable_whatever_its_state(bcc_library, backend):
    backend.task(0)
    for event in (Fork(1_100, 0), Arrive(1_100, 0), Switch(1_200, 0, None, 0)):
        backend.happen(event)
    bcc_library.bcc_switch(1_300, 0, FIRST_TID, 0, RUNNABLE)
    bank = backend.collect_at(2_001, 3_000).tasks[0]["bank"]
    assert (bank["involuntary_switches"], bank["voluntary_switches"]) == (1, 0)
    assert bank["time_ns"][layout.PREEMPT_WAIT] == 700
