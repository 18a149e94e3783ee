"""An environment whose truth is known on paper, contexts of made-up features, and logs of policies that lived in it."""

import numpy as np

from schedtel.agent.context import CHOSEN, Context
from schedtel.agent.log import Entry
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.windows.features import FeatureVector

ARMS = ("eevdf", "policy:job:rr=10", "scx:simple")
#: What a row of :data:`ENVIRONMENT` is of: without hogs, and with them.
KINDS = (0, 1)
#: Mean reward by kind of load and arm: each arm is best nowhere or in one kind, and the default is 0.
ENVIRONMENT = np.array([[0.0, -0.8, -0.3], [0.0, 0.7, 0.2]])
NOISE = 0.3
#: Features of a vector that tell the kind.
TELLING = ("runqueue_length_avg", "preempt_wait_mean_ns")


def vector(kind, random, names=CHOSEN):
    """Features of a window of this kind: two of them tell it, the others are noise, and some are missing."""
    values = random.lognormal(3, 1, len(names))
    for name in TELLING:
        if name in names:
            values[names.index(name)] = np.exp(random.normal(2 + 3 * kind, 0.4))
    mask = random.random(len(names)) < 0.05
    return FeatureVector(tuple(names), np.where(mask, 0, values), mask)


def context(kind, random, running="eevdf", busiest_cpu=None):
    return Context(vector(kind, random), running, busiest_cpu)


def reward(kind, arm, random):
    return float(ENVIRONMENT[kind, ARMS.index(arm)] + random.normal(0, NOISE))


def lived(policy, decisions, seed, phase=10, learn=True):
    """Rows of a log: a policy that decides in phases of loads; each kind is as frequent as the other."""
    random = np.random.default_rng(seed)
    running, entries = "eevdf", []
    for number in range(decisions):
        if number % phase == 0:
            kind = int(random.integers(2))
        seen = context(kind, random, running, 0.95 if kind else 0.5)
        decision = policy.decide(seen)
        earned = reward(kind, decision.arm, random)
        chances = decision.propensities
        entries.append(
            Entry(10**9 * number, 10**18 + 10**9 * number, number, seen, ARMS, decision.arm, chances, earned)
        )
        if learn:
            policy.learn(seen, decision.arm, decision.propensity, earned)
        running = decision.arm
    return entries


def made(name="thompson", seed=0, arms=ARMS, options=None, **settings):
    return policy_of(name, arms, settings=Settings(seed=seed, **settings), options=options or {})
