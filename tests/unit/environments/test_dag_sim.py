"""The environment of graphs: all its episodes against all schedules, and each of them against the rules."""

import graphs
import numpy as np
import pytest
from refusals import refused

from schedtel.dags.dag import NEVER, Dag
from schedtel.dags.families import preset
from schedtel.dags.heuristics import heft
from schedtel.dags.noise import actual_times, replayed
from schedtel.dags.schedule import broken_rules
from schedtel.errors import UsageError

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
from schedtel.environments.dag_sim import DagSim


def every_episode(sim, *, may_wait):
    """The makespan of each sequence of actions."""
    found, prefixes = set(), [()]
    while prefixes:
        prefix = prefixes.pop()
        masks, ended = sim.reset(1)[1], [False]
        for action in prefix:
            _, _, ended, masks = sim.step(np.array([action]))
        if ended[0]:
            found.add(int(sim.makespans[0]))
            continue
        actions = np.flatnonzero(masks[0])
        if not may_wait and len(actions) > 1:
            actions = actions[actions < sim.choices]
        prefixes += [(*prefix, int(action)) for action in actions]
    return found


def test_the_graph_that_needs_a_wait():
    sim = DagSim([preset("wait")])
    assert min(every_episode(sim, may_wait=True)) == 13
    assert min(every_episode(sim, may_wait=False)) == 16


@pytest.mark.parametrize("seed", range(3))
def test_the_best_episode_is_the_best_schedule(seed):
    dag = graphs.random_graph(np.random.default_rng(seed), 4, cpus=1, gpus=1)
    assert min(every_episode(DagSim([dag]), may_wait=True)) == graphs.least_makespan(dag)


def drawn(random, masks):
    """An action of the mask for each environment, all as likely."""
    return np.where(masks, random.random(masks.shape), -1).argmax(axis=1).astype(np.int32)


def as_it_was(dag, factors):
    """The graph with the times that were drawn."""
    times = [
        [time if time == NEVER else int(actual_times(time, f)) for time in row]
        for row, f in zip(dag.times, factors, strict=True)
    ]
    return Dag(dag.name, dag.kinds, dag.jobs, tuple(map(tuple, times)), dag.edges)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("choices", [3, 24])
def test_each_episode_is_a_schedule_that_can_be(noise, choices):
    random = np.random.default_rng(4)
    dags = [graphs.random_graph(random, n, gpus=1 + n % 3, own=n % 2 == 0) for n in (1, 5, 9, 14)]
    sim = DagSim([*dags, preset("cholesky-4")], 8, choices=choices, noise=noise)
    seen, masks = sim.reset(3)
    sums, factors, judged = np.zeros(8), [sim.factors(e) for e in range(8)], 0
    for _ in range(400):
        assert np.isfinite(seen).all()
        assert masks.any(axis=1).all()
        seen, rewards, ended, masks = sim.step(drawn(random, masks))
        sums += rewards
        for e in np.flatnonzero(ended):
            dag = sim.dags[sim.ended_graphs[e]]
            was, schedule = as_it_was(dag, factors[e]), sim.last_schedule(e)
            assert broken_rules(was, schedule) == []
            assert schedule.makespan(was) == sim.makespans[e]
            assert sums[e] == pytest.approx(-sim.makespans[e] / dag.least_makespan, rel=1e-5)
            sums[e], factors[e], judged = 0, sim.factors(e), judged + 1
    assert judged > 50
    assert set(sim.ended_graphs) <= set(range(5))


def test_a_replayed_order_has_the_makespan_of_the_environment():
    """Each device is given its jobs in the order of a schedule, and waits for the next of them."""
    dag = preset("cholesky-4").with_devices({"cpu": 1})
    schedule, sim = heft(dag), DagSim([dag], noise=0.2, choices=64)
    masks, ended = sim.reset(9)[1], [False]
    expected = replayed(dag, schedule, sim.factors(0)[None])[0]
    order = sorted(range(len(dag.jobs)), key=lambda job: schedule.starts[job])
    lists = [[job for job in order if schedule.devices[job] == device] for device in (0, 1)]
    while not ended[0]:
        choices = [sim.choice(0, action) for action in np.flatnonzero(masks[0][: sim.choices])]
        action = next((n for n, (job, place) in enumerate(choices) if lists[place][:1] == [job]), sim.choices)
        if action < sim.choices:
            lists[choices[action][1]].pop(0)
        _, _, ended, masks = sim.step(np.array([action]))
    assert sim.makespans[0] == expected


def test_the_same_seed_gives_the_same_episodes():
    def played(seed):
        sim, random = DagSim([preset("cholesky-3"), preset("lu-3")], 4, noise=0.2), np.random.default_rng(1)
        seen, masks = sim.reset(seed)
        rows = []
        for _ in range(60):
            seen, rewards, _, masks = sim.step(drawn(random, masks))
            rows.append((seen.tobytes(), rewards.tobytes(), masks.tobytes()))
        return rows

    assert played(1) == played(1)
    assert played(1) != played(2)


def test_what_cannot_be_is_refused():
    sim = DagSim([preset("wait")], 2)
    _, masks = sim.reset(0)
    assert not masks[0, sim.choices]  # nothing runs yet, so there is nothing to wait for
    for actions in ([sim.choices, 0], [0], [0, sim.action_count], [-1, 0], [23, 0]):
        refused(UsageError, sim.step, np.array(actions))
    for options in ({"count": 0}, {"choices": 0}, {"noise": 1.0}, {"noise": float("nan")}, {"count": 1 << 20}):
        refused(UsageError, DagSim, [preset("wait")], **options)
    refused(UsageError, DagSim, [])
