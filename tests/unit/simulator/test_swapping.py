"""A scheduler, or attributes of tasks, changed while a machine runs: on paper, by shares, and by the windows' laws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import FREE, MS, START_NS, Run, one_job, planned, schedule, workloads

from schedtel.simulator.beginning import beginning
from schedtel.simulator.collect import collect
from schedtel.simulator.engine import advance
from schedtel.simulator.machine import Machine
from schedtel.simulator.simulation import window_of
from schedtel.simulator.state import NICE_0_WEIGHT, SCHEDULERS
from schedtel.windows.invariants import check

TWO = one_job("a", "30ms") + one_job("b", "30ms")
HOGS = '[classes.{}]\narrival = "closed"\nservice = "10ms"\nworkers = 1\n'


def test_after_fifo_eevdf_knows_nothing_and_takes_turns():
    """At 25 ms, a has run for 15 and b for 10. Both begin at virtual time 0, and the one that waits goes first."""
    run = Run(planned(TWO), scheduler="fifo", slice_ns=10 * MS, swaps=[(25, "eevdf", 10, ())])
    turns = [(0, "a"), (10, "b"), (20, "a"), (25, "b"), (35, "a"), (45, "b"), (55, "a"), (60, "-")]
    assert run.switches() == turns


def test_after_eevdf_fifo_keeps_the_order_of_the_queue():
    """At 5 ms, b and c wait in this order; a goes behind them."""
    text = TWO + one_job("c", "30ms")
    run = Run(planned(text), slice_ns=10 * MS, swaps=[(5, "fifo", 20, ())])
    turns = [(0, "a"), (5, "b"), (25, "c"), (45, "a"), (65, "b"), (75, "c"), (85, "a"), (90, "-")]
    assert run.switches() == turns


def test_an_idle_machine_changes_its_scheduler_and_goes_on():
    late = one_job("a", "10ms", at="50ms")
    for scheduler in SCHEDULERS:
        run = Run(planned(late), swaps=[(20, scheduler, 20, ()), (30, "eevdf", 20, ())])
        assert run.jobs("a") == [(0, 10)]


def test_a_weight_that_is_changed_while_tasks_compete_gives_the_share_from_then_on():
    plan = planned(HOGS.format("a") + HOGS.format("b"), "2s")
    state, _ = beginning(plan, Machine(1, **FREE), START_NS)
    advance(state, START_NS + 501 * MS)
    before = state.tasks["total_cpu_ns"].copy()
    schedule(state, "eevdf", 700_000, [(1, "weight", 3 * NICE_0_WEIGHT)])
    advance(state, START_NS + 901 * MS)
    # Each may be ahead or behind by a slice, and what was not charged yet is of one slice.
    assert np.abs(before - 250.5 * MS).max() < 2 * MS
    assert np.abs((state.tasks["total_cpu_ns"] - before) - [100 * MS, 300 * MS]).max() < 3 * MS


def test_an_idle_task_gives_way_once_it_is_one():
    """A batch job waits for the end of the hog's slice, until that is of SCHED_IDLE: then a job runs at once."""
    arrival = '{ kind = "periodic", period = "20ms", offset = "1ms" }'
    probe = f'[classes.b]\narrival = {arrival}\nservice = "1ms"\npolicy = "batch"\n'
    plan = planned(HOGS.format("a") + probe, "200ms")
    state, _ = beginning(plan, Machine(1, slice_ns=10 * MS, **FREE), START_NS)
    advance(state, START_NS + 95 * MS)
    schedule(state, "eevdf", 10 * MS, [(0, "is_idle", 1), (0, "is_batch", 1), (0, "weight", 3)])
    advance(state, START_NS + 200 * MS)
    of = state.records[plan.jobs["class"] == 1]
    waits = of["started_ns"] - of["released_ns"]
    assert (waits[5:] == 0).all()
    assert waits[:5].max() > 0


@given(workloads(), st.integers(3, 40))
@settings(max_examples=15)
def test_what_changes_nothing_changes_nothing(drawn, every_ms):
    text, machine = drawn
    plan, slice_ms = planned(text, "100ms"), Machine(**machine).own_slice_ns / MS
    same = [(at, machine["scheduler"], slice_ms, ()) for at in range(every_ms, 100, every_ms)]
    one, other = Run(plan, **machine), Run(plan, swaps=same, **machine)
    assert one.trace.tobytes() == other.trace.tobytes()


@given(workloads(), st.lists(st.tuples(st.sampled_from(SCHEDULERS), st.sampled_from([15, 820, 9548])), min_size=5))
@settings(max_examples=25)
def test_the_laws_hold_in_every_window_whatever_changes(drawn, changes):
    text, machine = drawn
    made = Machine(**machine)
    state, rows = beginning(planned(text, "1s"), made, START_NS)
    previous, begin_ns = None, START_NS
    for number, (scheduler, weight) in enumerate(changes[:8], 1):
        schedule(state, scheduler, 20 * MS, [(number % len(rows), "weight", weight)])
        end_ns = begin_ns + 25 * MS
        advance(state, end_ns)
        window = window_of(collect(state, rows, number, begin_ns, end_ns), scheduler)
        assert [finding for finding in check(window, previous) if not finding.holds] == []
        previous, begin_ns = window, end_ns
