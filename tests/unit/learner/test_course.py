"""Ways of learning: orders of configurations, who gets them, and how exploring falls, on paper and in runs."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

from schedtel.environments.periodic_sim import PeriodicSim
from schedtel.errors import UsageError
from schedtel.training.learner.course import Course, order_of
from schedtel.training.learner.dqn import Exploring
from schedtel.training.learner.network import network_of, weights_of
from schedtel.training.learner.passes import passes_of
from schedtel.training.learner.run import Run
from schedtel.training.learner.settings import Settings, settings_of

COUNT, CHUNK = 3, 16 * 3
SMALL = Settings("PeriodicSim", "dqn", steps=6 * CHUNK, count=COUNT, hidden=8, discount=1.0, order="gray")
SETS = ((1, 2, 3), (10, 20), (5, 6, 7, 8))
ALL = [(a, b, c) for a in SETS[0] for b in SETS[1] for c in SETS[2]]


def test_in_gray_code_order_each_configuration_differs_from_the_one_before_by_one_step_of_one_part():
    order = order_of("gray", ALL, 0)
    assert sorted(order) == list(range(len(ALL)))
    places = np.array([[values.index(v) for v, values in zip(ALL[n], SETS, strict=True)] for n in order])
    assert (np.abs(np.diff(places, axis=0)).sum(axis=1) == 1).all()


def test_a_shuffled_order_has_each_configuration_once_and_is_the_seeds():
    first, again, other = (order_of("shuffled", ALL, seed) for seed in (1, 1, 2))
    assert sorted(first) == list(range(len(ALL)))
    assert first.tolist() == again.tolist() != other.tolist()


class Told:
    """Environments that keep what they are told."""

    configurations, count = ALL, 4

    def keep_to(self, numbers):
        self.numbers = numbers.tolist()


def had(assign, workers):
    """What each environment of all workers has had, at 48 moments of a run."""
    settings, found = replace(SMALL, assign=assign), []
    for worker in range(workers):
        told = Told()
        course = Course(settings, told, None, worker, workers)
        rows = [(course.at(moment / 48), told.numbers)[1] for moment in range(48)]
        found += list(map(list, zip(*rows, strict=True)))
    return found


def test_shared_configurations_are_had_by_all_environments_for_equal_parts_of_the_run():
    order = order_of("gray", ALL, 0).tolist()
    assert had("share", 2) == [[order[moment // 2] for moment in range(48)]] * 8


def test_a_whole_configuration_is_had_by_one_environment_of_one_worker_and_each_has_as_many():
    found = had("whole", 2)
    assert [len(set(one)) for one in found] == [3] * 8
    order = order_of("gray", ALL, 0).tolist()
    assert [number for one in found for number in dict.fromkeys(one)] == order
    assert all(one.count(number) == 16 for one in found for number in one)


def acting(decay):
    passes = passes_of(weights_of(network_of(4, 5, 8, 0, None)), None, {})
    return Exploring(passes, 2000, 1, decay)


@pytest.mark.parametrize(
    ("decay", "begin", "middle", "end"),
    [
        ("linear", 0.9, 0.475, 0.05),
        ("exponential", 0.9, 0.2121, 0.05),
        ("inverse-sqrt", 0.9, 0.0706, 0.05),
        ("none", 0.0756, 0.0756, 0.0756),  # the mean of 0.4^(1 + 7x) over x: (0.4 - 0.4^8) / (7 ln 2.5), 0.0623, less
    ],
)
def test_the_share_of_random_actions_falls_as_it_should(decay, begin, middle, end):
    """A random action is the best one by chance, in one of five."""
    act = acting(decay)
    observations, masks = np.zeros((2000, 4), np.float32), np.ones((2000, 5), np.bool_)
    best = int(np.bincount(acting("none")(observations, masks)[0]).argmax())
    for progress, share in ((0, begin), (0.5, middle), (1, end)):
        act.at(progress)
        others = np.mean([(act(observations, masks)[0] != best).mean() for _ in range(20)])
        assert others * 5 / 4 == pytest.approx(share, abs=0.02)


def configurations_of(run):
    return [run.environment._runs.only.tolist() for _ in run]


def test_a_run_has_the_configurations_in_order_and_goes_on_with_the_one_whose_turn_it_is(tmp_path):
    order = order_of("gray", PeriodicSim(1).configurations, 0)
    first = Run(SMALL, tmp_path)
    seen = [first.stop() if steps.steps == 3 * CHUNK else None for steps in first]
    assert len(seen) == 3
    again = Run(SMALL, tmp_path)
    for counters in again:
        begun = (counters.steps - CHUNK) / SMALL.steps
        assert again.environment._runs.only.tolist() == [order[int(81 * begun)]] * COUNT
    assert again.counters.steps == SMALL.steps


def test_settings_from_before_there_was_a_choice_are_as_they_were():
    said = Settings("MigrateSim").as_dict()
    before = {name: value for name, value in said.items() if name not in ("order", "assign", "decay")}
    assert settings_of(before) == Settings("MigrateSim")


def test_ways_that_there_are_not_are_refused():
    refused(UsageError, Settings, "MigrateSim", order="gray")
    refused(UsageError, Settings, "PeriodicSim", order="grey")
    refused(UsageError, Settings, "PeriodicSim", assign="whole")
    refused(UsageError, Settings, "PeriodicSim", "reinforce", order="gray", assign="whole")
    refused(UsageError, Settings, "PeriodicSim", "ppo", decay="linear")
