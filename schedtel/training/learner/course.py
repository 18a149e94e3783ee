"""Settings and how far a run is in; which configuration each environment has next, and how much is explored, out.

All of it follows from how far the run is. So a run that goes on is where it was, whoever works at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched, Configured
from schedtel.training.learner.dqn import Exploring
from schedtel.training.learner.experience import Act
from schedtel.training.learner.settings import Settings

Numbers = NDArray[np.int64]


class Course:
    """What changes for some environments while a run goes on, beside the network.

    :param act: how they act.
    :param worker: whose they are, of so many ``workers``.
    """

    def __init__(self, settings: Settings, environment: Batched, act: Act, worker: int = 0, workers: int = 1) -> None:
        self._environment, self._act = environment, act
        self._order: Numbers | None = None
        if settings.order != "drawn":
            self._order = order_of(settings.order, cast(Configured, environment).configurations, settings.seed)
        self._places, self._of = np.zeros(environment.count, np.int64), 1
        if settings.assign == "whole":
            self._places += worker * environment.count + np.arange(environment.count)
            self._of = workers * environment.count

    def at(self, progress: float) -> None:
        """Have the environments and how they act as they are after this part of the run."""
        if self._order is not None:
            stages = len(self._order)
            now = np.minimum(stages - 1, (self._places + progress) * stages / self._of).astype(np.int64)
            cast(Configured, self._environment).keep_to(self._order[now])
        if isinstance(self._act, Exploring):
            self._act.at(progress)


def order_of(name: str, configurations: Sequence[tuple[int, ...]], seed: int) -> Numbers:
    """The numbers of the configurations in this order; the seed is for one that is shuffled.

    In Gray-code order, each differs from the one before in one part, which has the value above or below. So the
    configurations must be all that their parts' values make.
    """
    if name == "shuffled":
        return np.random.default_rng(seed).permutation(len(configurations))
    numbers = {configuration: number for number, configuration in enumerate(configurations)}
    found: list[tuple[int, ...]] = [()]
    for values in (sorted(set(part)) for part in zip(*configurations, strict=True)):
        found = [(*one, v) for n, one in enumerate(found) for v in (values if n % 2 == 0 else reversed(values))]
    return np.array([numbers[one] for one in found])
