"""Filters in the kernel: they select rows, and change no total."""

import numpy as np
import pytest
from edges import EDGE, NEXT_EDGE, born_and_running, collect, started
from machine import HostBackend
from model import FIRST_TID, SLEEPING, Arrive, Fork, Switch
from readings import rows_of, total_of

from schedtel.records import layout


def two_tasks_run(backend: HostBackend) -> None:
    """Task 0 runs from 1100 to 1300, task 1 from 1300 on. The test has announced both, with their users."""
    for event in (*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1), Switch(1_300, 0, 0, 1, prev_state=SLEEPING)):
        backend.happen(event)


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [
        ({"by_tid": 1, "tid": FIRST_TID + 1}, [1]),
        ({"by_uid": 1, "uid": 7}, [0]),
        ({"kernel_threads": 1}, [0]),
        ({"kernel_threads": 2}, [1]),
        ({"by_cgroup": 1, "cgroup_id": 1, "cgroup_level": 0}, [0, 1]),
        ({"by_cgroup": 1, "cgroup_id": 2, "cgroup_level": 0}, []),
        ({"by_cgroup": 1, "cgroup_id": 1, "cgroup_level": 1}, []),
        ({"min_activity_ns": 201}, [1]),
        ({"min_activity_ns": 200}, [0, 1]),
    ],
)
def test_each_filter_selects_the_task_itself_and_keeps_the_totals(library, chosen, seen):
    backend = started(library, **chosen)
    backend.task(0, uid=7)
    backend.task(1, uid=8)
    backend.library.host_kernel_thread(1)
    two_tasks_run(backend)
    window = collect(backend)
    assert sorted(rows_of(window)) == seen
    assert total_of(window)["running"] == 900


def test_a_process_filter_follows_descendants(library):
    backend = started(library, by_process=1, tgid=FIRST_TID)
    for task in range(3):
        backend.task(task)
    backend.library.host_fork(1_100, -1, 0)
    backend.library.host_fork(1_100, 0, 1)
    backend.library.host_fork(1_100, -1, 2)
    for event in (Arrive(1_100, 0), Arrive(1_100, 1), Arrive(1_100, 2), Switch(1_100, 0, None, 0)):
        backend.happen(event)
    assert sorted(rows_of(collect(backend))) == [0, 1]


def test_exec_gives_a_new_name_and_the_filter_looks_again(library):
    comm = np.frombuffer(b"worker\0\0", "<u8")
    mask = np.frombuffer(b"\xff" * 6 + b"\0\0", "<u8")
    backend = started(library, by_comm=1, comm_value=(comm[0], 0), comm_mask=(mask[0], 0))
    backend.play(*born_and_running())
    assert not len(collect(backend).tasks)
    backend.library.host_exec(EDGE + 10, 0, b"worker-1")
    [record] = collect(backend, NEXT_EDGE + 1, 4_000).tasks
    assert (record["comm"], record["bank"]["time_ns"][layout.RUNNING]) == (b"worker-1", 1_000)
