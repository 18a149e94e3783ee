"""Tasks older than tracing: the seed adopts them as they stand."""

import pytest
from edges import EDGE, FIRST_EDGE, collect
from machine import HostBackend
from model import SLEEPING, TASK_DEAD, Exit, Switch
from readings import cpu_times, rows_of

from schedtel.records import layout


def test_tasks_alive_before_tracing_are_adopted_as_they_stand(library):
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    standing = [{"on_cpu": 1, "on_rq": 1}, {"on_rq": 1}, {"state": SLEEPING}, {"state": 2, "in_iowait": 1}]
    for task, how in enumerate(standing):
        backend.task(task, start_time=7)
        backend.standing(task, cpu_ns=10_000, **how)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    window = collect(backend)
    rows = rows_of(window)
    assert [rows[t][what] for t, what in enumerate(("running", "preempt_wait", "blocked", "iowait"))] == [1_000] * 4
    assert window.tasks["left_censored"].tolist() == [1] * 4
    assert window.tasks["arrival_ns"].tolist() == [7] * 4
    assert window.tasks["first_cpu_ns"].tolist() == [0] * 4
    assert window.cpus["time_ns"][0, layout.CPU_BUSY] == 1_000


@pytest.mark.parametrize("exits_later", [False, True])
def test_a_task_exiting_before_tracing_has_no_life_to_report(library, exits_later):
    """Its sched_process_exit is past, or about to come: the seed adopts it as completed in both cases."""
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    for task in (0, 1):
        backend.task(task)
        backend.library.host_exiting(task)
    backend.standing(0, on_cpu=1, on_rq=1)
    backend.standing(1, on_rq=0, state=TASK_DEAD)
    backend.seed(FIRST_EDGE - 100)
    backend.play(*[Exit(FIRST_EDGE - 50, 0, 0)] * exits_later, Switch(FIRST_EDGE - 40, 0, 0, None, preempt=True))
    backend.play(Switch(FIRST_EDGE - 20, 0, None, 0))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    backend.play(Switch(1_400, 0, 0, None, prev_state=TASK_DEAD))
    window = collect(backend)
    assert (len(window.tasks), int(window.folded["tasks"].sum())) == (0, 0)
    assert cpu_times(window) == {"busy_ns": 0, "idle_ns": 600, "teardown_ns": 400, "untracked_ns": 0}
    assert not any(window.losses.values())


def test_a_wait_that_began_before_tracing_is_no_sample(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    backend.task(0)
    backend.standing(0, on_rq=1)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    backend.happen(Switch(1_400, 0, None, 0))
    row = rows_of(collect(backend))[0]
    assert (row["preempt_wait"], sum(row["wait_histogram"]), row["max_wait_ns"]) == (400, 0, 0)
