"""MigrateSim: cases worked out on paper, the simulator without the environment as its judge, and what a step tells."""

import numpy as np
import pytest
from migrating import MS, START_NS, WARM_NS, keep, one_machine, peer, release

from schedtel.environments.migrate import STEP_NS, STEPS, MigrateSim
from schedtel.environments.migrate_load import GROUPS, loads_of
from schedtel.environments.migrate_rules import JUDGE
from schedtel.errors import UsageError

SWITCH_NS = 1_500


def test_a_thread_alone_takes_its_work_and_a_switch():
    act, environment = one_machine(1, [MS], [MS])
    rewards = [act()[1][0] for _ in range(100)]
    tasks = environment.fleet.tasks[0]
    assert tasks["burst_tat_sum_ns"][0] == tasks["bursts"][0] * (MS + SWITCH_NS)
    # 400 ms in jobs of 2 ms and a switch; of each, the switch is lost.
    begun = np.ceil(400 * MS / (2 * MS + SWITCH_NS))
    assert sum(rewards) == pytest.approx(-SWITCH_NS * begun / STEP_NS, abs=1e-3)


def test_a_thread_that_is_moved_pays_for_what_its_cache_still_had():
    pause_ns, cost_ns = 5 * MS // 2, 2 * MS
    act, environment = one_machine(2, [MS], [pause_ns], migration_ns=cost_ns)
    act()
    act()  # its second job lasted from 6.0015 to 7.003 ms, the third is from 9.503 ms on
    task = environment.fleet.tasks[0, 0]
    before = int(task["overhead_ns"])
    assert before == 2 * SWITCH_NS
    act(keep(environment, 0, 1))
    assert environment.fleet.places[0, 0] == 1
    assert task["migrations"] == 1
    assert int(task["overhead_ns"]) - before == SWITCH_NS + cost_ns - cost_ns * pause_ns // WARM_NS


def test_a_thread_that_is_moved_while_it_runs_pays_for_all():
    act, environment = one_machine(2, [20 * MS], [MS], migration_ns=2 * MS)
    act()
    act(keep(environment, 0, 1))
    assert environment.fleet.tasks[0, 0]["overhead_ns"] == 2 * SWITCH_NS + 2 * MS


def test_threads_kept_on_one_cpu_leave_the_other_idle_until_one_is_let_go():
    act, environment = one_machine(2, [2 * MS, 2 * MS], [MS // 10, MS // 10])
    for thread in (0, 1):
        act(keep(environment, thread, 0))
    busy = environment.fleet.cpus[0]["switches"][1]
    for _ in range(20):
        _, rewards, _, masks = act()
        # One of two always waits, but for a pause of 0.1 ms in each job of 2 ms.
        assert rewards[0] == pytest.approx(-0.5, abs=0.06)
    assert environment.fleet.cpus[0]["switches"][1] == busy
    assert not masks[0, keep(environment, 0, 0)]
    assert masks[0, keep(environment, 0, 1)]
    assert masks[0, release(environment, 1)]
    act(release(environment, 1))
    assert environment.fleet.places[0].tolist().count(1) == 1
    assert max(act()[1][0] for _ in range(20)) > -0.02


def test_a_running_thread_leaves_its_cpu_at_once_and_what_it_displaces_goes_on_elsewhere_at_a_tick():
    act, environment = one_machine(2, [100 * MS, 100 * MS], [MS, MS], cpu=[0, 1])
    act()
    assert environment.fleet.cpus[0]["current"].tolist() == [0, 1]
    act(keep(environment, 0, 1))
    for _ in range(3):
        act()
    assert environment.fleet.places[0].tolist() == [1, 0]
    assert environment.fleet.cpus[0]["current"].tolist() == [1, 0]


@pytest.mark.parametrize("allowed", [{}, {0: [1]}, {0: [2], 1: [2], 2: [0]}])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_thread_does_what_it_does_on_the_simulator_with_the_same_jobs(allowed, seed):
    loads = loads_of(np.random.default_rng(seed), 1, 3, 7)
    act, environment = one_machine(3, loads.work_ns[0], loads.pause_ns[0], loads.migration_ns[0], loads.cpu[0] % 3)
    for thread, cpus in allowed.items():
        environment.fleet.allowed[0, thread] = np.isin(np.arange(3), cpus)
    alone = peer(environment, allowed)
    for step in range(1, STEPS):
        act()
        if step % 50 == 0:
            expected, found = alone(step), environment.fleet.tasks[0]
            for name in ("burst_tat_sum_ns", "bursts", "migrations", "cpu", "vruntime"):
                assert found[name].tolist() == expected[name].tolist(), name


def test_the_reward_of_a_machine_is_the_sum_of_its_cpus_and_its_time_adds_up():
    environment, draw = MigrateSim(16), np.random.default_rng(3)
    _, masks = environment.reset(5)
    lost = np.zeros(16)
    for _ in range(10):  # no machine of the first half ends within so few steps
        actions = np.where(masks, draw.random(masks.shape), -1).argmax(axis=1)
        _, rewards, _, masks = environment.step(actions.astype(np.int32))
        assert rewards == pytest.approx(environment.cpu_rewards.sum(axis=1))
        assert (rewards <= 0).all()
        lost -= rewards * environment.threads * STEP_NS
    tasks, times = environment.fleet.tasks, environment.fleet.time_ns
    now = environment.fleet.machine["now_ns"]
    phase = tasks["phase"]
    waits = times[:, :, 2:4].sum(axis=2)  # PREEMPT_WAIT and WAKEUP_WAIT
    whole = times.sum(axis=2) + now - tasks["since_ns"]
    first = slice(0, 8)
    assert (whole[first] == (now - START_NS - MS)[first]).all(), "every moment of every thread has a phase"
    assert (waits + tasks["overhead_ns"] <= whole)[first].all()
    assert phase.min() >= 0


def test_the_same_seed_gives_the_same_and_another_something_else():
    def played(seed):
        environment, draw = MigrateSim(8), np.random.default_rng(1)
        observations, masks = environment.reset(seed)
        seen = [observations.tobytes()]
        for _ in range(STEPS // 4):
            actions = np.where(masks, draw.random(masks.shape), -1).argmax(axis=1)
            observations, rewards, ended, masks = environment.step(actions.astype(np.int32))
            seen += [observations.tobytes(), rewards.tobytes(), ended.tobytes(), masks.tobytes()]
        return seen

    assert played(4) == played(4)
    assert played(4) != played(5)


def test_the_rules_do_what_their_names_say():
    costs = {}
    for group in GROUPS:
        environments = JUDGE.make(16, group)
        costs[group] = {name: rule(environments, 7) for name, rule in JUDGE.rules.items()}
    assert (costs["small"]["steal only small"] == costs["small"]["stealing"]).all()
    assert (costs["large"]["steal only small"] == costs["large"]["pinning"]).all()
    # Where moving costs nothing, one queue is better than one for each CPU; where it costs more than jobs, the reverse.
    assert costs["small"]["stealing"].mean() < costs["small"]["pinning"].mean()
    assert costs["large"]["pinning"].mean() < costs["large"]["stealing"].mean()


@pytest.mark.parametrize("sizes", [(0, 4, 8), (1, 0, 8), (1, 4, 0), (1, 65, 8), (1, 4, 65)])
def test_impossible_machines_are_refused(sizes):
    with pytest.raises(UsageError, match="cannot make"):
        MigrateSim(*sizes)
