"""What events say of tasks and CPUs, and the candidates and counts that follow from it: small lists by hand."""

import numpy as np
import pytest
from small_runs import US, gap, migrate, run_of, switch, wakeup

from schedtel.oracle.candidates import NAMES, forecast_of
from schedtel.oracle.habits import Rhythm
from schedtel.oracle.machine import Machine
from schedtel.oracle.runs import IDLE, NOBODY, UNKNOWN_CPU, Left
from schedtel.oracle.successors import Successors, chances

A, B, C, D = range(1, 5)


def machine_after(*events):
    run = run_of(events)
    machine = Machine(run.roles)
    for event in run.events.tolist():
        machine.apply(event)
    return machine


def known(machine, cpu, us):
    """Candidate → feature → value."""
    tasks, rows = forecast_of(machine, cpu, us * US)
    return {task: dict(zip(NAMES, row, strict=True)) for task, row in zip(tasks, rows, strict=True)}


def test_who_waits_longest_is_the_head_of_the_queue_and_who_came_last_the_newest():
    machine = machine_after(switch(0, 0, IDLE, A), wakeup(10, 0, B, 0), wakeup(20, 0, C, 0), wakeup(30, 0, D, 1))
    found = known(machine, 0, 110)
    assert [task for task in found if found[task]["queued"]] == [C, B]
    assert (found[B]["head"], found[C]["head"], found[B]["newest"], found[C]["newest"]) == (1, 0, 0, 1)
    assert found[B]["wait"] == pytest.approx(0, abs=1e-5)  # 100 µs
    assert A not in found
    assert found[IDLE]["queued"] == 0


def test_a_preempted_task_waits_from_then_on_and_one_that_blocks_does_not():
    machine = machine_after(switch(0, 0, IDLE, A), switch(5, 0, A, B, Left.PREEMPTED), switch(9, 0, B, C))
    assert list(machine.cpus[0].queue) == [A]
    assert machine.tasks[A].since_ns == 5 * US
    assert machine.tasks[B].blocked_ns == 9 * US


def test_after_a_gap_the_task_that_was_thought_to_run_neither_runs_nor_waits():
    # C's coming is withheld: the switch says that it leaves a CPU on which A was.
    machine = machine_after(switch(0, 0, IDLE, A), wakeup(1, 0, D, 0), switch(9, 0, C, B, Left.PREEMPTED))
    assert machine.tasks[A].running_on == machine.tasks[A].queued_on == UNKNOWN_CPU
    assert list(machine.cpus[0].queue) == [D, C]
    assert not known(machine, 0, 10).get(A, {}).get("queued")
    assert machine.cpus[0].running == B
    assert machine.cpus[0].before == (C,)


def test_a_told_gap_forgets_who_runs_on_this_cpu_only():
    machine = machine_after(switch(0, 0, IDLE, A), switch(1, 1, IDLE, B), gap(2, 0))
    assert (machine.cpus[0].running, machine.cpus[1].running) == (NOBODY, B)
    machine.gap(UNKNOWN_CPU)
    assert machine.cpus[1].running == NOBODY


def test_a_wakeup_of_a_task_that_runs_or_waits_changes_no_wait():
    machine = machine_after(
        switch(0, 0, IDLE, A), wakeup(1, 1, A, 1), wakeup(2, 0, B, 0), wakeup(5, 1, B, 0), wakeup(6, 1, IDLE, 0)
    )
    assert machine.tasks[A].queued_on == UNKNOWN_CPU
    assert machine.tasks[B].since_ns == 2 * US
    assert list(machine.cpus[0].queue) == [B]


def test_a_waiting_task_that_migrates_is_in_the_other_queue_and_has_waited_since_before():
    machine = machine_after(switch(0, 0, IDLE, A), wakeup(2, 0, B, 0), migrate(5, 1, B, 1), migrate(6, 1, C, 1))
    assert list(machine.cpus[0].queue) == []
    assert list(machine.cpus[1].queue) == [B]
    assert machine.tasks[B].since_ns == 2 * US
    assert machine.tasks[C].queued_on == UNKNOWN_CPU  # it sleeps


def test_a_wakeup_without_a_cpu_is_where_the_task_ran_last():
    machine = machine_after(switch(0, 1, IDLE, A), switch(3, 1, A, IDLE), wakeup(7, 0, A))
    assert list(machine.cpus[1].queue) == [A]
    assert machine.tasks[A].habits.sleep.last_ns == 4 * US


def test_the_counts_of_a_task_s_wakeups_are_of_who_ran():
    machine = machine_after(
        switch(0, 0, IDLE, A), wakeup(1, 0, B, 0), switch(2, 0, A, IDLE), wakeup(3, 0, C, 0), switch(4, 0, IDLE, A)
    )
    assert dict(machine.wakes[A]) == {B: 1}
    assert known(machine, 0, 5)[B]["is_woken"] == pytest.approx(1 / 2)


def test_the_mean_of_a_time_moves_and_how_far_off_it_is_a_part_of_it():
    rhythm = Rhythm()
    for time_ns in (999, 1999, 10_999):
        rhythm.add(time_ns)
    assert rhythm.last_ns == 10_999
    assert rhythm.mean_ns == pytest.approx(1299 + 0.3 * (10_999 - 1299))
    # 1 at first, then 1000 / 1000 off, then 3 at most.
    assert rhythm.off == pytest.approx(1 + 0.3 * (3 - 1))


def test_a_task_without_habits_has_those_of_its_name():
    """A and C have a name, B and D another one. C has never run."""
    machine = machine_after(switch(0, 0, IDLE, A), switch(8, 0, A, B), wakeup(9, 0, C, 0))
    found = known(machine, 0, 10)
    assert found[C]["run"] == found[A]["run"] == pytest.approx(np.log10(8 * US + 1) - 5)
    assert (found[C]["fresh"], found[A]["fresh"]) == (1, 0)
    assert found[C]["blocks"] == found[A]["blocks"] > 0.5
    machine.switch(20 * US, 0, B, C, Left.BLOCKED, 120)
    machine.switch(22 * US, 0, C, IDLE, Left.BLOCKED, 120)
    assert machine.tasks[C].rhythm("run").mean_ns == 2 * US
    assert machine.tasks[A].rhythm("run").mean_ns == 8 * US


def test_who_waits_has_been_passed_over_since_it_came_to_the_queue():
    machine = machine_after(
        switch(0, 0, IDLE, A), wakeup(1, 0, B, 0), switch(2, 0, A, C, Left.PREEMPTED), switch(3, 0, C, D)
    )
    found = known(machine, 0, 4)
    assert (found[B]["passed"], found[A]["passed"]) == (0.2, 0.2)  # C and D came
    # A has run for 2 µs and B not at all.
    assert (found[B]["least_share"], found[A]["least_share"]) == (1, 0)
    assert (found[A]["served"], found[B]["served"]) == (pytest.approx(np.log10(2001) - 5), -5)


def test_who_woke_whom_last_is_known_on_both_sides():
    machine = machine_after(switch(0, 0, IDLE, A), wakeup(1, 0, B, 0), switch(2, 0, A, B), wakeup(3, 0, A, 0))
    assert (known(machine, 0, 4)[A]["wakes"], known(machine, 0, 4)[A]["was_woken"]) == (1, 1)
    machine.switch(5 * US, 0, B, C, Left.BLOCKED, 120)
    assert (known(machine, 0, 6)[A]["wakes"], known(machine, 0, 6)[A]["was_woken"]) == (0, 0)


def test_what_came_after_the_same_queue_is_counted():
    """Twice A runs and B waits; B comes, then C. Then A runs and nobody waits."""
    events = [switch(0, 0, IDLE, C), wakeup(1, 0, B, 0), switch(2, 0, C, A), switch(3, 0, A, B), switch(4, 0, B, C)]
    events += [wakeup(5, 0, B, 0), switch(6, 0, C, A), switch(7, 0, A, C), switch(8, 0, C, A)]
    machine = machine_after(*events)
    state = (A, B, B, False)
    assert machine.by_state[state].of == {B: 1, C: 1}
    # C has the name of A, and before the last switch it ran while B waited.
    assert machine.by_named_state[machine.named(state)].of == {machine.names[B]: 1, machine.names[C]: 2}
    # B came last and is still in the queue: it is the newest and the oldest there.
    found = known(machine, 0, 9)
    markov = found[B]["markov1"]
    assert found[B]["state"] == pytest.approx((1 + 2 * markov) / 4)


def test_what_is_due_soon_is_told_beside_the_run_of_what_runs():
    """A sleeps for 10 µs each time; 4 µs of it are over. Runs of C take 3 µs."""
    events = [switch(0, 0, IDLE, A), switch(1, 0, A, IDLE), wakeup(11, 0, A, 0), switch(11, 0, IDLE, C)]
    events += [switch(14, 0, C, A), switch(16, 0, A, C)]
    found = known(machine_after(*events), 0, 20)
    assert found[A]["due"] == pytest.approx(np.log10(4001) - np.log10(10_001))
    assert found[A]["awakes"] == pytest.approx(np.log10(6001) - np.log10(3001))


def test_markov_chances_are_those_of_arithmetic():
    """A B A C A B A C A B A on a CPU: after B, A comes always C; after C always B."""
    successors, order = Successors(), [A, B, A, C, A, B, A, C, A, B, A]
    for at, task in enumerate(order):
        successors.add(0, tuple(order[max(0, at - 3) : at]), task)
    counts = successors.after(0, (C, B, A))
    # Without a past: A 6, B 3, C 2 times; A runs, so it is left out of 11 - 6 counts of 2 distinct others.
    # After A: B 3, C 2. After B A: C 2 times. After C B A: never seen, so what B A says counts.
    none = [3 / 7, 2 / 7]
    one = [(3 + 2 * none[0]) / 7, (2 + 2 * none[1]) / 7]
    two = [(0 + 1 * one[0]) / 3, (2 + 1 * one[1]) / 3]
    assert chances(B, A, counts) == pytest.approx((none[0], one[0], two[0], two[0]))
    assert chances(C, A, counts) == pytest.approx((none[1], one[1], two[1], two[1]))
    assert counts[2].last == C


def test_the_most_frequent_ones_are_in_the_order_of_their_counts():
    successors = Successors()
    for task, times in ((1, 3), (2, 5), (3, 1), (4, 2), (5, 1), (6, 1), (7, 4), (8, 6)):
        for _ in range(times):
            successors.add(0, (), task)
    top = successors.after(0, ())[0].top
    assert top[:4] == [8, 2, 7, 1]


def test_what_ran_before_on_another_cpu_is_not_the_past():
    machine = machine_after(switch(0, 0, IDLE, A), switch(1, 1, IDLE, B), switch(2, 0, A, C), switch(3, 1, B, D))
    assert machine.cpus[0].before == (IDLE, A)
    assert machine.cpus[1].before == (IDLE, B)
