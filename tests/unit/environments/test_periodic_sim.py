"""The environment of periodic pipelines: EDF in it against EDF written another way, and against the optimum."""

import numpy as np
import pytest
from refusals import refused

from schedtel.dags.pipelines import configurations, edf, jobs_of, met, pipelines
from schedtel.errors import UsageError

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
from schedtel.environments.periodic_sim import PeriodicSim

TIGHT = (875, 350, 875, 350)


def by_configuration(sim, choose, episodes):
    """Configuration → the met deadlines of its last episode, after so many in each environment."""
    found, sums, masks = {}, np.zeros(sim.count), sim.reset(1)[1]
    ended_count = 0
    while ended_count < episodes * sim.count:
        seen, rewards, ended, masks = sim.step(choose(sim, masks))
        assert np.isfinite(seen).all()
        sums += rewards
        for e in np.flatnonzero(ended):
            periods = sim.configurations[sim.ended_configurations[e]]
            jobs = len(jobs_of(pipelines(periods, 1.0)))
            assert sums[e] == pytest.approx(sim.met[e] / jobs, abs=1e-5)
            found[periods], sums[e], ended_count = int(sim.met[e]), 0, ended_count + 1
    return found


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("scale", [1.6, 2.0])
def test_edf_in_it_is_edf(scale, drops):
    sim = PeriodicSim(8, scale=scale, drops=drops)
    found = by_configuration(sim, lambda sim, _: sim.edf_actions(), 10)
    assert len(found) > 40
    for periods, count in found.items():
        chains = pipelines(periods, scale)
        assert count == met(jobs_of(chains), edf(chains, drops=drops)), periods


def drawn(random):
    return lambda _, masks: np.where(masks, random.random(masks.shape), -1).argmax(axis=1)


def test_nobody_meets_more_than_the_most_that_can_be():
    """That of this configuration is 12 of 14 with doubled times, by CP-SAT (proven with another model, too)."""
    sim = PeriodicSim(16, scale=2.0, periods_ms=[TIGHT])
    assert max(by_configuration(sim, drawn(np.random.default_rng(2)), 4).values()) <= 12


def test_an_action_that_cannot_be_is_refused():
    sim = PeriodicSim(2)
    _, masks = sim.reset(0)
    assert masks[:, : sim.action_count - 1].any(axis=1).all()
    refused(UsageError, sim.step, np.array([5, 5]))  # six kernels of a pipeline that has five
    refused(UsageError, sim.step, np.array([0]))
    refused(UsageError, sim.step, np.array([0, sim.action_count]))
    refused(UsageError, PeriodicSim, 0)
    refused(UsageError, PeriodicSim, 1, scale=0.0)
    refused(UsageError, PeriodicSim, 1, periods_ms=[(1, 2, 3, 4)])
    refused(UsageError, PeriodicSim, 1, periods_ms=[])


def test_the_same_seed_gives_the_same_episodes():
    def played(seed):
        sim, choose = PeriodicSim(4), drawn(np.random.default_rng(1))
        _, masks = sim.reset(seed)
        rows = []
        for _ in range(80):
            seen, rewards, _, masks = sim.step(choose(sim, masks))
            rows.append((seen.tobytes(), rewards.tobytes()))
        return rows

    assert played(1) == played(1)
    assert played(1) != played(2)
    assert len(configurations()) == 81
