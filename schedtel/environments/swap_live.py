"""SwapLive: arms in; observations and rewards of this machine, whose scheduler they are for a window, out.

It has the spaces of SwapSim, and acts as the agent acts: by the same machine, with its lock, its journal and its guard.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from schedtel.agent.classes import Classes
from schedtel.agent.here import here
from schedtel.agent.reward import Reference
from schedtel.agent.settings import AgentSettings
from schedtel.closing import Closing
from schedtel.environments.stepping import Buffers
from schedtel.environments.swap_settings import SwapSettings, View
from schedtel.errors import StreamError
from schedtel.schedulers.names import EEVDF, Selector, parse_arm

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from schedtel.environments.batched import Masks, Observations
    from schedtel.windows.window import Window

_EEVDF = str(EEVDF)


class SwapLive(Closing):
    """This machine. A step is a turn of the agent: the windows after a swap that settle, and one that counts.

    The reward is beside what EEVDF cost in the steps in which it ran, and 0 before it did. An arm is not allowed while
    no thread is of its classes. ``contexts`` has what is observed as a policy of the agent is given it.

    :meth:`close` puts everything back, as leaving the context does, and as the guard does if this process dies.

    :param scope: the threads that arms are for, and that are measured, such as ``pid=N``; None: all of the machine.
    :param steps: of an episode.
    :param tell: is given one line for what a person should know besides.

    Raises :class:`SchedtelError` for whatever is missing, such as privileges or an arm that cannot be had here, before
    anything is changed, and :class:`UsageError` while an agent acts.
    """

    count = 1

    def __init__(
        self,
        scope: Selector | None = None,
        settings: SwapSettings = SwapSettings(),  # noqa: B008  (it is frozen)
        steps: int = 60,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.arms, self._settings, self._steps = settings.arms, settings, steps
        self._view, self._classes = View(self.arms), Classes()
        self._named = [parse_arm(arm).classes for arm in self.arms]
        self.observation_size, self.action_count = self._view.size, len(self.arms)
        self._buffers = Buffers(1, self.observation_size, self.action_count)
        self._reference, self._running, self._taken = Reference(settings.reward), _EEVDF, 0
        asked = AgentSettings(self.arms, reward=settings.reward, window=settings.window, scope=scope)
        with ExitStack() as stack:
            windows, self._machine = stack.enter_context(here(asked, None, tell))
            self._windows = iter(windows)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Put everything back. Safe to call twice."""
        self._stack.close()

    # ---- the protocol ----

    def reset(self, _seed: int) -> tuple[Observations, Masks]:
        """Go back to EEVDF, and measure it. What a machine does has no seed."""
        self._taken, self._reference = 0, Reference(self._settings.reward)
        self._run(_EEVDF)
        return self._look()

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], Masks]:
        """As :meth:`Batched.step`: it returns when the windows are over.

        Raises :class:`UsageError` for an action that the mask excludes, and :class:`SchedtelError` for an arm that the
        kernel refuses by now; then EEVDF runs.
        """
        arm = self.arms[int(self._buffers.checked(actions)[0])]
        self._buffers.rewards[0] = self._run(arm)
        self._taken += 1
        self._buffers.ended[0] = self._taken >= self._steps
        observations, masks = self.reset(0) if self._buffers.ended[0] else self._look()
        return observations, self._buffers.rewards, self._buffers.ended, masks

    # ---- a turn ----

    def _run(self, arm: str) -> float:
        """Have an arm in effect for a turn; returns its reward."""
        swapped = arm != self._running
        if swapped:
            self._machine.restore()
            self._running = _EEVDF
        if swapped and arm != _EEVDF:
            self._machine.switch(arm)
            self._running = arm
        reward = self._settings.reward
        windows = [self._window() for _ in range(reward.dwell - (0 if swapped else reward.settle))]
        counted = reward.counted(windows, swapped=swapped)
        self.contexts = [self._view.context(windows[-1], arm)]
        found = self._settings.reward_of(counted, self._reference, swapped=swapped)
        if arm == _EEVDF:
            self._reference.add(self._settings.costs(counted), 0)
        return found

    def _window(self) -> Window:
        """The next window; threads that were born or classed since have the arm from then on."""
        window = next(self._windows, None)
        if window is None:
            raise StreamError("cannot go on: the windows of this machine have ended (close the environment)")
        self._classes.add(window)
        self._machine.tell({name: self._classes.threads(name) for names in self._named for name in names})
        self._machine.rescan()
        return window

    def _look(self) -> tuple[Observations, Masks]:
        self._view.write(self.contexts[0], self._buffers.seen[0])
        for number, classes in enumerate(self._named):
            self._buffers.masks[0, number] = not classes or any(map(self._classes.count, classes))
        return self._buffers.seen, self._buffers.masks
