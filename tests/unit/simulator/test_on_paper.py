"""Small cases that are worked out by hand: who has the CPU from which millisecond on. Nothing but work takes time."""

import pytest
from simulated import FREE, once, one_job, simulate, simulation

from schedtel.simulator.load import SCALE, averaged


def test_first_come_first_served_in_slices():
    """a has 25 ms, b 10, c 5; a slice is 10 ms. What ends with its slice ends. At 35 ms nobody waits: a goes on."""
    run = simulate(one_job("a", "25ms") + one_job("b", "10ms") + one_job("c", "5ms"), scheduler="fifo", slice_ns=10**7)
    assert run.switches() == [(0, "a"), (10, "b"), (20, "c"), (25, "a"), (40, "-")]
    assert (run.jobs("a"), run.jobs("b"), run.jobs("c")) == ([(0, 40)], [(10, 20)], [(20, 25)])


def test_a_slice_ends_at_a_tick():
    """With a tick every 4 ms, 10 ms are over at 12 ms; b has 2 ms, which end without a tick."""
    text = one_job("a", "25ms") + one_job("b", "2ms")
    run = simulate(text, scheduler="fifo", slice_ns=10**7, tick_ns=4_000_000)
    assert run.switches() == [(0, "a"), (12, "b"), (14, "a"), (27, "-")]


def test_the_end_of_a_burst_comes_before_all_else_of_its_moment():
    """b arrives at 10 ms, when a ends: the CPU is free for it, and b takes it without a wait."""
    for scheduler in ("eevdf", "vtime", "fifo", "interactive"):
        run = simulate(one_job("b", "5ms", at="10ms") + one_job("a", "10ms"), scheduler=scheduler)
        assert run.switches() == [(0, "a"), (10, "-"), (10, "b"), (15, "-")]


def test_virtual_time_by_weight():
    """After 10 ms, c of nice 10 (weight 110) is at 93.1 ms of virtual time, so a and b take turns behind it until they
    have come so far; a, which was queued before b, comes first at equal times.
    """
    text = "".join(one_job(name, "200ms", more=f"nice = {nice}") for name, nice in (("a", 0), ("b", 0), ("c", 10)))
    run = simulate(text, scheduler="vtime", slice_ns=10**7)
    turns = [name for _, name in run.switches()]
    assert "".join(turns[:8]) == "abcababa"
    assert [at for at, _ in run.switches()[:8]] == [0, 10, 20, 30, 40, 50, 60, 70]
    # a and b are at 100 ms each, and c runs again, when each has had ten slices and c one: from 210 ms on.
    assert run.switches()[turns.index("c", 3)] in ((200, "c"), (210, "c"), (220, "c"))


EQUALS = one_job("a", "20ms") + one_job("b", "20ms")


def test_eevdf_takes_turns_among_equals():
    """Slices of 3 ms: a task that has had its slice is ahead of the average, and so not eligible."""
    run = simulate(EQUALS, slice_ns=3_000_000)
    assert run.switches()[:5] == [(0, "a"), (3, "b"), (6, "a"), (9, "b"), (12, "a")]


def test_eevdf_places_a_woken_task_at_the_average_and_behind_an_earlier_deadline():
    """At 7 ms: a is at 4 ms of virtual time, b at 3, so c joins at 3.5 with deadline 6.5. b, with deadline 6, is next.

    a keeps the CPU to the end of its slice, at 9; b runs 3 ms; then c is eligible and first.
    """
    run = simulate(EQUALS + one_job("c", "1ms", at="7ms"), slice_ns=3_000_000)
    assert run.switches()[2:6] == [(6, "a"), (9, "b"), (12, "c"), (13, "a")]
    assert run.jobs("c") == [(5, 6)]


def test_eevdf_lets_a_shorter_slice_preempt():
    """The same with a slice of 0.5 ms for c: its deadline is 4, before b's, and a is ahead of the average of 3.5.

    c runs from 7 to 7.5 and is then ahead itself (4 against 3.67). b catches up with 4 at 8.5, and c has the rest.
    """
    run = simulate(EQUALS + one_job("c", "1ms", at="7ms", more='slice = "500us"'), slice_ns=3_000_000)
    assert run.switches()[2:6] == [(6, "a"), (7, "c"), (7.5, "b"), (8.5, "c")]
    assert run.jobs("c") == [(0, 2)]
    assert run.task("a")["involuntary_switches"] >= 2


def test_eevdf_does_not_let_a_batch_task_preempt():
    more = 'slice = "500us"\npolicy = "batch"'
    run = simulate(EQUALS + one_job("c", "1ms", at="7ms", more=more), slice_ns=3_000_000)
    assert (7, "c") not in run.switches()


def test_an_idle_task_gives_way_at_once():
    """b has its slice of 0.7 ms at once. It is then ahead of the average, so a, of weight 3, is picked."""
    run = simulate(one_job("a", "50ms", more='policy = "idle"') + one_job("b", "10ms", at="7ms"))
    assert run.switches()[:3] == [(0, "a"), (7, "b"), (7.7, "a")]


STEAL = one_job("a", "10ms") + one_job("b", "4ms") + one_job("c", "5ms")


def test_a_cpu_that_runs_out_of_work_steals():
    """a and c share CPU 0 in slices of 3 ms. At 4 ms CPU 1 has nothing more to do, and takes a, which waits."""
    run = simulate(STEAL, cpus=2, slice_ns=3_000_000)
    assert run.switches(0) == [(0, "a"), (3, "c"), (8, "-")]
    assert run.switches(1) == [(0, "b"), (4, "a"), (11, "-")]
    assert run.task("a")["migrations"] == 1


def test_a_migration_costs_what_was_still_warm():
    """a has been off its CPU for 1 of 10 ms, so nine tenths of 1 ms are lost."""
    run = simulate(STEAL, cpus=2, slice_ns=3_000_000, migration_ns=1_000_000, warm_ns=10_000_000)
    assert run.switches(1) == [(0, "b"), (4, "a"), (11.9, "-")]


def test_a_switch_costs_its_time():
    run = simulate(one_job("a", "5ms") + one_job("b", "5ms"), scheduler="fifo", switch_ns=1_000_000)
    assert run.switches() == [(0, "a"), (6, "b"), (12, "-")]


def test_nothing_is_stolen_from_where_it_is_pinned():
    pinned = "cpus = [0]"
    text = one_job("a", "10ms", more=pinned) + one_job("b", "4ms") + one_job("c", "5ms", more=pinned)
    run = simulate(text, cpus=2, slice_ns=3_000_000)
    assert [name for _, name in run.switches(1)] == ["b", "-"]
    assert run.switches(0)[-1] == (15, "-")


def test_interactive_lets_a_short_burst_preempt_a_long_one():
    """h and g have had 5 ms each when h runs as a long one, from 10 ms on. s takes the CPU from it at 12 ms; then g is
    next, at 5 ms of virtual time against 7.
    """
    text = one_job("h", "100ms") + one_job("g", "100ms") + one_job("s", "1ms", at="12ms")
    run = simulate(text, scheduler="interactive")
    assert run.switches()[:6] == [(0, "h"), (5, "g"), (10, "h"), (12, "s"), (13, "g"), (33, "h")]


BEHAVIOURS = {
    "sleeps between bursts": ("4ms", '{ kind = "sleep", bursts = 2, sleep = "5ms" }', [(0, 9)]),
    "and its partner in turns": ("10ms", '{ kind = "pipe", rounds = 5 }', [(0, 10)]),
    "forks two, each with a third": ("9ms", '{ kind = "fork", depth = 1, fan = 2 }', [(0, 9)]),
    "waits for the disk": ("4ms", '{ kind = "file", size = 1, sync = true }', [(0, 11)]),
    "writes to memory": ("4ms", '{ kind = "file", size = 1 }', [(0, 4)]),
}


@pytest.mark.parametrize("what", BEHAVIOURS)
@pytest.mark.parametrize("life", ["", "life = true"])
def test_a_job(what, life):
    work, behaviour, expected = BEHAVIOURS[what]
    run = simulate(one_job("a", work, more=f"behaviour = {behaviour}\n{life}"), scheduler="fifo", disk_ns=7_000_000)
    assert run.jobs("a") == expected


def test_a_lock_lets_one_in_at_a_time():
    """Two jobs at once, of 10 ms with half of it locked: the second waits from 5 ms to 10 ms."""
    text = '[classes.a]\narrival = { kind = "periodic", period = "100s", batch = 2 }\nservice = "10ms"\nworkers = 2\n'
    run = simulate(text + 'behaviour = { kind = "lock", share = 0.5 }', cpus=2)
    assert sorted(run.jobs("a")) == [(0, 10), (0, 15)]


def test_children_run_on_other_cpus():
    """A root and six below it, 1 ms each, on 4 CPUs: the root and two children, then four grandchildren."""
    run = simulate(one_job("a", "7ms", more='behaviour = { kind = "fork", depth = 2, fan = 2 }\nlife = true'), cpus=4)
    assert run.jobs("a")[0][1] < 7 / 2
    assert (run.state.tasks["completion_ns"] > 0).sum() == 7


def test_a_closed_worker_thinks_between_jobs():
    """5 ms of work and 10 ms of thought: it begins at 10, 25, 40, … and by 100 ms has begun 7 jobs."""
    text = '[classes.a]\narrival = { kind = "closed", think = "10ms" }\nservice = "5ms"\nworkers = 1'
    run = simulate(text, "100ms")
    begun = run.state.records["started_ns"][run.state.records["started_ns"] > 0]
    assert ((begun - begun[0]) / 1e6).tolist() == [0, 15, 30, 45, 60, 75]
    assert run.switches()[1] == (0, "-")


def test_a_phase_stops_workers_and_lets_them_go_on():
    """What begins at 20 ms or at 60 ms, when a job ends, begins before the phase changes: bursts end first."""
    text = '[classes.a]\narrival = "closed"\nservice = "5ms"\nworkers = 2\n'
    text += '[[phases]]\nduration = "20ms"\n[[phases]]\nduration = "20ms"\nrates = { a = 0.5 }\n'
    run = simulate(text, "60ms", cpus=2)
    busy = run.state.tasks["total_cpu_ns"] / 1e6
    assert busy.tolist() == [65, 50]


def test_lives_wait_for_a_free_place():
    """One life at a time, three jobs at once of 10 ms: they arrive at 0, 10 and 20 ms on two CPUs."""
    text = '[classes.a]\narrival = { kind = "periodic", period = "100s", batch = 3 }\nservice = "10ms"\nworkers = 1\n'
    run = simulate(text + "life = true", cpus=2, **{"scheduler": "fifo"} | FREE)
    assert run.jobs("a") == [(0, 10), (10, 20), (20, 30)]


SLEEPER = one_job("s", "10ms", more='behaviour = { kind = "sleep", bursts = 2, sleep = "8ms" }')


def test_a_task_that_sleeps_ahead_of_the_average_stays_until_it_is_not():
    """s has 5 ms in turns of 3 with h, and sleeps at 8 ms: at 5 ms of virtual time against 3. At 11, h is at 6: s is no
    longer ahead, leaves, and owes nothing. It wakes at 16 at h's 11, and runs when h has used its slice, at 17. With
    its lag of -1 it would be at 13, ahead of the average until 20.
    """
    run = simulate(SLEEPER + one_job("h", "100ms"), slice_ns=3_000_000)
    assert run.switches()[:5] == [(0, "s"), (3, "h"), (6, "s"), (8, "h"), (17, "s")]


def test_a_task_that_wakes_before_it_has_left_is_where_it_was():
    """s wakes at 9 ms: it is at 5 ms of virtual time, with its deadline of 6, and h at 4. h, whose slice ends at 11, is
    at 6 then: s goes on until its new deadline of 9, at 15, or its end at 16.
    """
    run = simulate(SLEEPER.replace('sleep = "8ms"', 'sleep = "1ms"') + one_job("h", "100ms"), slice_ns=3_000_000)
    assert run.switches()[3:6] == [(8, "h"), (11, "s"), (12, "h")]


DEADLINE = """
[classes.a]
arrival = {{ kind = "periodic", period = "{period}" }}
service = "4ms"
workers = 3
deadline = "6ms"
"""


def missed(text, duration, **machine):
    source = simulation(text, duration, cpus=1, scheduler="fifo", slice_ns=10**9, **FREE, **machine)
    list(source)
    figures = source.outcome.summary()["classes"]["a"]
    return figures["missed"], [figures[f"tardiness_{word}_ns"] / 1e6 for word in ("mean", "p50", "max")]


def test_a_job_that_ends_at_its_deadline_has_not_missed_it():
    """h has 8 ms, so jobs of a that are due at 0, 10, 20 and 30 ms end at 12, 16, 24 and 34: 6, 0, 0 and 0 ms late."""
    assert missed(one_job("h", "8ms") + DEADLINE.format(period="10ms"), "40ms") == (1, [1.5, 0, 6])


def test_a_job_that_does_not_end_is_late_by_what_the_run_goes_on_after_its_deadline():
    """The jobs of 0 and 9 ms have no CPU by 20 ms, and are 14 and 5 ms late by then; that of 18 ms may still be in
    time.
    """
    text = 'drain = "0s"\n' + one_job("h", "100ms") + DEADLINE.format(period="9ms")
    assert missed(text, "20ms") == (2, [9.5, 5, 14])


def test_a_release_takes_the_cpu_for_its_time():
    """Each release has the CPU for 1 ms. With fifo, a then goes on with its slice, and b waits for its end."""
    text = one_job("a", "10ms") + one_job("b", "1ms", at="5ms")
    run = simulate(text, scheduler="fifo", dispatch_ns=1_000_000)
    assert run.switches() == [(1, "a"), (5, "-"), (6, "a"), (12, "b"), (13, "-")]
    assert (run.jobs("a"), run.jobs("b")) == ([(1, 12)], [(7, 8)])
    assert run.task("a")["involuntary_switches"] == 1


def test_after_a_release_the_fair_class_chooses_anew():
    """a is at 4 ms of virtual time at 5 ms, with deadline 6; b joins there with 7. a runs until 6, and b is next."""
    text = one_job("a", "10ms") + one_job("b", "1ms", at="5ms")
    run = simulate(text, slice_ns=3_000_000, dispatch_ns=1_000_000)
    assert run.switches()[:5] == [(1, "a"), (5, "-"), (6, "a"), (8, "b"), (9, "a")]


def test_a_release_is_late_and_a_life_is_forked_before_it_begins():
    text = one_job("a", "1ms") + one_job("b", "1ms", at="10ms", more="life = true")
    run = simulate(text, late_ns=2_000_000, fork_ns=3_000_000)
    assert run.switches()[0] == (2, "a")
    assert (10 + 2 + 3, "b") in run.switches() or (10 + 2 + 3 + 3, "b") in run.switches()


def test_work_takes_longer_on_a_slower_machine():
    run = simulate(one_job("a", "10ms"), slower_millionths=100_000)
    assert run.jobs("a") == [(0, 11)]


def test_tasks_of_others_take_their_share():
    """1 ms on average every 10 ms on average: a tenth, and a ninth of that where they meet, of 20 s."""
    run = simulate(one_job("h", "100s"), duration="20s", others_gap_ns=10_000_000, others_ns=1_000_000, traced=0)
    # Of 2,000 of them that last up to 2 ms, the sum scatters by 2.6 %.
    assert run.task("h")["total_cpu_ns"] / 1e9 == pytest.approx(0.9 * 21, rel=0.02)


def test_a_woken_task_goes_to_the_wakers_cpu_if_that_has_less_to_do():
    """CPU 1 has the heavier hog, and w slept there; the dispatcher on CPU 0 wakes it, and CPU 0 has less weight."""
    text = (
        one_job("light", "10s", more="cpus = [0]")
        + one_job("heavy", "10s", more="cpus = [1]\nnice = -10")
        + '[classes.w]\narrival = { kind = "periodic", period = "20ms", offset = "5ms" }\n'
        + 'service = "1ms"\nworkers = 2\n'
    )
    run = simulate(text, cpus=2, dispatch_ns=1_000)
    assert all("w" not in name for _, name in run.switches(1))
    assert any(name == "w" for _, name in run.switches(0))


def test_cpus_that_share_a_speed_are_faster_where_one_is_idle():
    """a and b do half each until b has done its 4 ms, at 4 ms; a then has 6 left, and does them in 3."""
    text = one_job("a", "10ms") + one_job("b", "4ms")
    run = simulate(text, cpus=2, is_shared=True)
    assert (run.switches(0), run.switches(1)) == ([(0, "a"), (7, "-")], [(0, "b"), (4, "-")])


def test_what_was_interrupted_goes_on_with_the_rest_of_its_slice():
    """Two releases hold the CPU until 2 ms. a has 10 ms from there; the release of c, from 11.5 to 12.5, leaves it half
    a millisecond of these, and its slice is over at 13. b and c follow.
    """
    text = one_job("a", "25ms") + one_job("b", "5ms") + one_job("c", "1ms", at="11500us")
    run = simulate(text, scheduler="fifo", slice_ns=10**7, dispatch_ns=1_000_000)
    assert run.switches()[:6] == [(2, "a"), (11.5, "-"), (12.5, "a"), (13, "b"), (18, "c"), (19, "a")]


POOL = (
    '[classes.w]\narrival = { kind = "periodic", period = "100s", batch = 2 }\nservice = "2ms"\nworkers = 2\n'
    "cpus = [0]\n"
)


def test_a_worker_that_ends_a_job_takes_the_next_before_the_one_that_was_woken():
    """Both jobs come at once, and wake both workers. The first does both jobs, and the second then finds none."""
    run = simulate(POOL, scheduler="fifo")
    assert run.jobs("w") == [(0, 2), (2, 4)]
    assert sorted(run.state.tasks["total_cpu_ns"] / 1e6) == [0, 4]
    assert run.state.tasks["voluntary_switches"].tolist() == [1, 1]


def test_workers_get_ready_when_the_run_begins():
    """Each of three has 1 ms to get ready, waits 5 ms for the start, and then for a job, which comes at 20 ms."""
    text = f'[classes.w]\narrival = {once("20ms")}\nservice = "2ms"\nworkers = 3\n'
    run = simulate(text, scheduler="fifo", ready_ns=1_000_000)
    assert [at for at, name in run.switches() if name == "w"][:6] == [0, 1, 2, 6, 7, 8]
    assert run.jobs("w") == [(0, 2)]


def test_an_idle_cpu_that_did_not_look_for_work_does_so_at_the_next_tick():
    """CPU 1 has no more to do from 4 ms on. At 6 ms, the slice of c on CPU 0 is over, a is next; CPU 1 takes c."""
    run = simulate(STEAL, cpus=2, slice_ns=3_000_000, tick_ns=3_000_000, steal_thousandths=0)
    assert run.switches(1)[:3] == [(0, "b"), (4, "-"), (6, "c")]


def test_a_load_halves_in_32_periods_of_1024_microseconds():
    """A hog has the load of its weight. A task of 10 s that ends its work has half of that 33.6 ms later."""
    after, half_ns = averaged.py_func, 32 * 1024 * 1024  # the function before it is compiled
    assert after(1024 * SCALE, 0, half_ns >> 16) == 512 * SCALE
    assert after(0, 1024 * SCALE, half_ns >> 16) == pytest.approx(512 * SCALE, abs=1)
    assert after(1024 * SCALE, 0, half_ns >> 17) == pytest.approx(1024 * SCALE / 2**0.5, rel=1e-4)
    run = simulate(one_job("h", "10s"), "1s")
    assert run.state.cpus["load"][0] == 1024 * SCALE


def test_a_new_life_preempts_with_the_usual_slice_until_it_sets_its_own():
    """h has a slice of 100 ms. The life has one as well, but is born with 3 ms: half of that is its first deadline."""
    slices = 'slice = "100ms"'
    text = one_job("h", "10s", more=slices) + one_job("l", "1ms", at="7ms", more=f"life = true\n{slices}")
    assert simulate(text, slice_ns=3_000_000).jobs("l") == [(0, 1)]
