"""SwapSim: arms in; observations and rewards of simulated machines, whose scheduler they are for a window, out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.stepping import Buffers, need_between
from schedtel.environments.swap_load import Loads, Phase
from schedtel.environments.swap_machine import Gap, SwapMachine
from schedtel.environments.swap_settings import SwapSettings, View
from schedtel.schedulers.names import EEVDF
from schedtel.simulator.machine import Machine

if TYPE_CHECKING:
    from schedtel.agent.context import Context
    from schedtel.environments.batched import Masks, Observations

_EEVDF = str(EEVDF)
_MOST_COUNT = 4096


@dataclass(frozen=True)
class Simulated(SwapSettings):
    """What is simulated, beside what SwapLive has as well.

    :param loads: what episodes are made of.
    :param machine: its scheduler does not count.
    """

    loads: Loads = field(default_factory=Loads)
    machine: Machine = field(default_factory=Machine)
    gap: Gap = field(default_factory=Gap)


USUAL = Simulated()


class SwapSim:
    """Machines whose load changes. A step is a window, and an action the number of the arm in it.

    ``contexts`` has what is observed as a policy of the agent is given it, and ``phases`` which workload runs, of which
    no policy is told.

    :param count: how many machines.
    :param staggered: whether the first episodes end at different steps, so that no two machines are alike.

    Raises :class:`UsageError` for a count out of range, and for arms that cannot be simulated.
    """

    def __init__(self, count: int, settings: Simulated = USUAL, *, staggered: bool = True) -> None:
        need_between("a count of", count, 1, _MOST_COUNT)
        self.count, self.arms, self._settings = count, settings.arms, settings
        self._view = View(self.arms)
        self.observation_size, self.action_count = self._view.size, len(self.arms)
        self._buffers = Buffers(count, self.observation_size, self.action_count)
        self._buffers.masks[:] = True
        self._length = settings.loads.phases * settings.loads.windows
        self._first_steps = np.arange(count) * self._length // count if staggered else np.zeros(count, np.int64)
        self.reset(0)

    # ---- the protocol ----

    def reset(self, seed: int) -> tuple[Observations, Masks]:
        """As :meth:`Batched.reset`."""
        settings = self._settings
        self._draws = np.random.default_rng(seed).spawn(self.count)
        self._steps, self._cost = self._first_steps.copy(), np.full(self.count, np.nan)
        #: Steps of the episode so far, and the sum of their rewards.
        self._summed = np.zeros((self.count, 2))
        #: Each machine, and one with the same jobs that is under EEVDF all the time.
        self._machines, self._beside = (
            [SwapMachine(settings.machine, self.arms, settings.window_ns, settings.gap) for _ in range(self.count)]
            for _ in range(2)
        )
        self._to_come: list[Iterator[Phase]] = [iter(()) for _ in range(self.count)]
        self.phases = [Phase("", 0)] * self.count
        for place in range(self.count):
            self._begin(place)
        for machine in self._beside:
            machine.run(_EEVDF)
        self.contexts: list[Context] = [self._view.context(each.run(_EEVDF), _EEVDF) for each in self._machines]
        return self._look()

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], Masks]:
        """As :meth:`Batched.step`. Raises :class:`UsageError` for what is no action."""
        for place, action in enumerate(self._buffers.checked(actions).tolist()):
            self._buffers.rewards[place] = self._run(place, self.arms[action])
            self._buffers.ended[place] = self._count(place)
        seen, masks = self._look()
        return seen, self._buffers.rewards, self._buffers.ended, masks

    def cost(self) -> NDArray[np.float64]:
        """The last whole episode of each machine: what its windows cost beside EEVDF, as a geometric mean; else NaN."""
        return self._cost

    def all_rewards(self) -> NDArray[np.float64]:
        """What the reward of each arm would be in the next step, shape (count, arms).

        Nothing changes by it. Each arm is tried from the same state, with the same jobs at the same moments.
        """
        found, settings = np.zeros((self.count, len(self.arms))), self._settings
        for place, (machine, beside) in enumerate(zip(self._machines, self._beside, strict=True)):
            reference, tried = settings.reference([beside.tried(_EEVDF)]), machine.tried_all()
            found[place] = [
                settings.reward_of([tried[arm]], reference, swapped=arm != machine.running) for arm in self.arms
            ]
        return found

    # ---- a machine ----

    def _run(self, place: int, arm: str) -> float:
        """Have a machine run for a window; returns the reward."""
        machine = self._machines[place]
        swapped = arm != machine.running
        reference = self._settings.reference([self._beside[place].run(_EEVDF)])
        window = machine.run(arm)
        self.contexts[place] = self._view.context(window, arm)
        return self._settings.reward_of([window], reference, swapped=swapped)

    def _count(self, place: int) -> bool:
        """Count a step, and change the load where it is time to. Returns whether an episode has ended."""
        self._steps[place] += 1
        self._summed[place] += 1, self._buffers.rewards[place]
        if self._steps[place] == self._length:
            steps, reward = self._summed[place]
            self._cost[place] = np.exp(-reward / steps) if steps == self._length else np.nan
            self._begin(place)
            return True
        if self._steps[place] % self._settings.loads.windows == 0:
            self._change_load(place)
        return False

    def _begin(self, place: int) -> None:
        """Begin an episode. The arm that ran goes on, as an agent goes on."""
        self._steps[place] %= self._length
        self._summed[place] = 0
        self._to_come[place] = self._settings.loads.episode(self._draws[place])
        self._change_load(place)

    def _change_load(self, place: int) -> None:
        loads, window_ns = self._settings.loads, self._settings.window_ns
        self.phases[place] = next(self._to_come[place])
        plan = self.phases[place].plan((loads.windows + 1) * window_ns)
        for machines in (self._machines, self._beside):
            machines[place].load(plan)

    def _look(self) -> tuple[Observations, Masks]:
        for place, context in enumerate(self.contexts):
            self._view.write(context, self._buffers.seen[place])
        return self._buffers.seen, self._buffers.masks
