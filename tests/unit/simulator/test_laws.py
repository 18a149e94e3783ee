"""The laws of windows, and of schedulers, on workloads at random."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from simulated import START_NS, Run, planned, simulation, workloads

from schedtel.records.layout import BLOCKED, IOWAIT
from schedtel.simulator.state import ARRIVED, LEFT, SWITCHED, WOKEN
from schedtel.windows.invariants import check


@given(workloads())
@settings(max_examples=60)
def test_the_laws_hold_in_every_window(drawn):
    text, machine = drawn
    windows = list(simulation(text, "120ms", "25ms", **machine))
    assert len(windows) >= 4
    for previous, window in zip([None, *windows], windows, strict=False):
        assert [finding for finding in check(window, previous) if not finding.holds] == []
        assert set(window.losses.values()) == {0}


@given(workloads())
@settings(max_examples=15)
def test_columns_summed_over_windows_are_those_of_one_long_window(drawn):
    text, machine = drawn
    one, many = (list(simulation(text, "100ms", window, **machine)) for window in ("2s", "10ms"))
    for table, names in (
        ("tasks", ("cpu_ns", "wakeup_wait_ns", "preempt_wait_ns", "voluntary_switches", "wakeups", "migrations")),
        ("cpus", ("busy_ns", "idle_ns", "switches")),
        ("preemptions", ("count", "wait_ns")),
    ):
        for name in names:
            totals = [sum(sum(getattr(w, table)[name].to_pylist()) for w in windows) for windows in (one, many)]
            assert totals[0] == totals[1], name
    assert sum(w.metrics.tat.count for w in many) == sum(w.metrics.tat.count for w in one)
    assert sum(w.metrics.rt.count for w in many) == sum(w.metrics.rt.count for w in one)


@given(workloads())
@settings(max_examples=10)
def test_the_same_seed_gives_the_same_bytes(drawn):
    text, machine = drawn
    source = simulation(text, "60ms", "20ms", **machine)
    first, again = ("".join(window.to_ndjson() for window in source) for _ in range(2))
    other = "".join(window.to_ndjson() for window in simulation(text, "60ms", "20ms", **machine))
    assert first == again == other


@given(workloads(), st.integers(1, 20), st.integers(0, 20))
@settings(max_examples=10)
def test_a_deadline_changes_nothing_but_what_is_counted_and_a_later_one_is_missed_no_more_often(drawn, early, more):
    text, machine = drawn
    sources = [
        simulation(text + line, "60ms", **machine)
        for line in ("", f'deadline = "{early}ms"\n', f'deadline = "{early + more}ms"\n')
    ]
    windows = ["".join(window.to_ndjson() for window in source) for source in sources]
    assert windows[0] == windows[1] == windows[2]
    name = sources[0].plan.workload.classes[-1].name
    none, first, later = (source.outcome.summary()["classes"][name] for source in sources)
    assert none["missed"] is None
    assert later["missed"] <= first["missed"] <= first["released"]
    assert (first["tardiness_max_ns"] or 0) <= (later["tardiness_max_ns"] or 0) + more * 10**6


@given(workloads())
@settings(max_examples=30)
def test_no_job_begins_before_it_is_due_or_ends_before_its_work_is_done(drawn):
    text, machine = drawn
    run = Run(planned(text, "100ms"), **machine)
    of = run.state.records[run.state.records["ended_ns"] > 0]
    jobs = run.plan.jobs[run.state.records["ended_ns"] > 0]
    assert (of["released_ns"] <= of["started_ns"]).all()
    assert (of["started_ns"] + of["cpu_ns"] <= of["ended_ns"]).all()
    kinds = np.array([c.behaviour.kind for c in run.plan.workload.classes])[jobs["class"]]
    # The others share the work, or lose less than 1 ns a burst.
    alone = ~np.isin(kinds, ["pipe", "fork", "sleep", "graph"])
    assert (of["cpu_ns"][alone] >= jobs["work_ns"][alone] - 2).all()


@given(workloads())
@settings(max_examples=40)
def test_no_cpu_is_idle_while_a_task_waits_that_may_use_it(drawn):
    """Followed through the trace: at the end of each moment, who waits and what the CPUs do."""
    text, machine = drawn
    # With one queue for all, a task that queues at the end of its slice wakes no CPU: bpf/sched_ext/ does not either.
    # There is none to wake but where tasks are kept from CPUs.
    assume(machine["scheduler"] == "eevdf" or "cpus" not in text)
    run = Run(planned(text, "100ms"), **machine)
    # The fair class wakes a task in the queue in which it sleeps; an idle CPU takes it when that queue's slice is over.
    patience_ns = run.machine.own_slice_ns + run.machine.tick_ns if run.machine.scheduler == "eevdf" else 0
    waiting, current, since_ns = set(), [-1] * run.machine.cpus, 0
    moments = run.trace["time_ns"].tolist()
    for number, row in enumerate(run.trace):
        cpu, task, before = int(row["cpu"]), int(row["task"]), int(row["before"])
        if row["kind"] in (WOKEN, ARRIVED):
            waiting.add(task)
        elif row["kind"] == LEFT:
            current[cpu] = -1
        elif row["kind"] == SWITCHED:
            waiting.discard(task)
            waiting |= {before} - {-1}
            current[cpu] = task
        if number + 1 < len(moments) and moments[number + 1] > moments[number]:
            idle = [c for c, k in enumerate(current) if k < 0]
            usable = [k for k in waiting if run.state.allowed[run.state.tasks["pinned"][k]][idle].any()]
            since_ns = (since_ns or moments[number]) if usable else 0
            assert not usable or moments[number + 1] - since_ns <= patience_ns, (moments[number] - START_NS, idle)
    assert not set(run.state.tasks["phase"][list(waiting)]) & {BLOCKED, IOWAIT}
