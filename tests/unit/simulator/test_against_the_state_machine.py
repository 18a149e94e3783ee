"""A simulation's switches and wakeups, given to the kernel side's own state machine: it counts the same.

The machine is that of imported traces, in C (bpf/replay/). It knows nothing of the simulator.
"""

import numpy as np
from hypothesis import given, settings
from simulated import START_NS, Run, planned, workloads

from schedtel.records.layout import BLOCKED, CPU_BUSY, CPU_IDLE, NOT_ALIVE, PREEMPT_WAIT, RUNNING, WAKEUP_WAIT
from schedtel.simulator.beginning import beginning
from schedtel.simulator.collect import collect
from schedtel.simulator.engine import advance
from schedtel.simulator.state import ARRIVED, LEFT, SWITCHED, WOKEN
from schedtel.traces.events import EVENT, UNTOLD, Kind, PrevState
from schedtel.traces.replay import Replay

#: No event of a simulation is on such an edge but by chance.
WINDOW_NS = 20_000_011
WINDOWS = 6
COUNTS = ("max_wait_ns", "burst_tat_sum_ns", "voluntary_switches", "involuntary_switches", "wakeups", "bursts")
COUNTS += ("waits_unfinished", "bursts_unfinished")


def event(row, kind, **fields):
    found = np.zeros(1, EVENT)
    found["time_ns"], found["kind"], found["cpu"] = row["time_ns"], kind, max(0, row["cpu"])
    found["prio"] = found["other_prio"] = 120
    found["current"] = UNTOLD
    for name, value in fields.items():
        found[name] = value
    return found


def events_of(run):
    """The trace as a tracer would have it; every CPU is idle at first."""
    tids, names, left = run.rows["tid"], run.rows["comm"], {}
    found = [event({"time_ns": START_NS, "cpu": cpu}, Kind.SWITCH, current=0) for cpu in range(run.machine.cpus)]
    for row in run.trace:
        task, cpu = int(row["task"]), int(row["cpu"])
        if row["kind"] == ARRIVED:
            found.append(event(row, Kind.NEWTASK, tid=1, other=tids[task], other_comm=names[task]))
            found.append(event(row, Kind.ARRIVAL, tid=tids[task], comm=names[task]))
        elif row["kind"] == WOKEN:
            found.append(event(row, Kind.WAKEUP, tid=tids[task], comm=names[task]))
        elif row["kind"] == LEFT:
            left[cpu] = (int(row["before"]), int(row["phase"]))
            if row["phase"] == NOT_ALIVE:
                found.append(event(row, Kind.EXIT, tid=tids[row["before"]], current=tids[row["before"]]))
        elif row["kind"] == SWITCHED:
            before, phase = left.pop(cpu, (int(row["before"]), RUNNING))
            state = {NOT_ALIVE: PrevState.DEAD, RUNNING: PrevState.PREEMPTED}.get(phase, PrevState.BLOCKED)
            tid, comm = (tids[before], names[before]) if before >= 0 else (0, b"")
            other, other_comm = (tids[task], names[task]) if task >= 0 else (0, b"")
            words = {"tid": tid, "comm": comm, "other": other, "other_comm": other_comm, "current": tid}
            found.append(event(row, Kind.SWITCH, state=state if before >= 0 else PrevState.RUNNING, **words))
    return np.concatenate(found)


def replayed(run):
    events, windows = events_of(run), []
    replay = Replay(START_NS, START_NS + WINDOW_NS)
    replay.know_cpus(run.machine.cpus)
    for _ in range(WINDOWS):
        events = events[replay.happen(events) :]
        raw = replay.collect(lambda start: start + WINDOW_NS)
        windows.append((raw, raw.tasks.copy()))
    return windows


def simulated(run):
    state, rows = beginning(run.plan, run.machine, START_NS)
    for number in range(WINDOWS):
        start_ns = START_NS + number * WINDOW_NS
        advance(state, start_ns + WINDOW_NS)
        yield collect(state, rows, number + 1, start_ns, start_ns + WINDOW_NS)


def by_tid(tasks):
    """Rows of tasks that ran or waited."""
    active = tasks["bank"]["time_ns"][:, [RUNNING, WAKEUP_WAIT, PREEMPT_WAIT]].any(axis=1)
    return {int(row["tid"]): row for row in tasks[active]}


@given(workloads())
@settings(max_examples=12)
def test_every_row_and_every_cpu_is_what_the_state_machine_counts(drawn):
    text, machine = drawn
    run = Run(planned(text, "110ms"), **machine)
    for ours, (theirs, tasks) in zip(simulated(run), replayed(run), strict=True):
        rows, expected = by_tid(ours.tasks), by_tid(tasks)
        assert rows.keys() == expected.keys()
        for tid, row in rows.items():
            judge(row, expected[tid])
        assert (ours.cpus["time_ns"][:, [CPU_BUSY, CPU_IDLE]] == theirs.cpus["time_ns"][:, [CPU_BUSY, CPU_IDLE]]).all()
        for name in ("sum_ns", "max_ns", "histogram"):  # the longest waits, of which kept_ns tells, are not simulated
            assert (ours.cpus["samples"][name] == theirs.cpus["samples"][name]).all()


def judge(row, expected):
    """One row. Where a task that is older than the run was before its first event, the state machine does not know."""
    where = (int(row["tid"]), int(row["window"]))
    phases = [RUNNING, WAKEUP_WAIT, PREEMPT_WAIT]
    assert row["bank"]["time_ns"][phases].tolist() == expected["bank"]["time_ns"][phases].tolist(), where
    assert [int(row["bank"][name]) for name in COUNTS] == [int(expected["bank"][name]) for name in COUNTS], where
    for name in ("wait_histogram", "burst_tat_histogram"):
        assert row["bank"][name].tolist() == expected["bank"][name].tolist(), where
    assert row["open_wait_ns"] == expected["open_wait_ns"], where
    if not row["left_censored"]:
        assert row["bank"]["migrations"] == expected["bank"]["migrations"], where
        for name in ("arrival_ns", "first_cpu_ns", "completion_ns", "total_cpu_ns", "alive_ns"):
            assert row[name] == expected[name], (where, name)
        assert row["bank"]["time_ns"][BLOCKED] <= expected["bank"]["time_ns"][BLOCKED], where
