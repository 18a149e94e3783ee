"""A kind of environment in; one of it, as Gymnasium has it, out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.registry import entry_of
from schedtel.errors import CapabilityError

try:
    import gymnasium
except ImportError:
    raise CapabilityError("cannot make an environment: gymnasium is missing (pip install 'schedtel[learn]')") from None

#: No observation is larger, either way.
_LARGEST = 1e6


class Single(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One environment of the registry; its page says what the numbers of ``observation_space`` and the actions are.

    Where an action is not allowed, ``info["action_mask"]`` is False. If it is taken all the same, the last one that is
    allowed is taken instead, which does nothing or waits where that can be. An environment begins its next episode by
    itself: the observation that comes with an end is the first of that, and :meth:`reset` begins another.

    Raises :class:`UsageError` for an unknown name.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (as Gymnasium declares it)

    def __init__(self, name: str) -> None:
        entry = entry_of(name)
        self._environment, self._truncates = entry.make(1), entry.truncates
        size = self._environment.observation_size
        self.observation_space = gymnasium.spaces.Box(-_LARGEST, _LARGEST, (size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(self._environment.action_count)
        self._mask = self._environment.reset(0)[1][0].copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode: that of the seed, or the next one of the last seed."""
        super().reset(seed=seed, options=options)
        observations, masks = self._environment.reset(int(self.np_random.integers(1 << 62)))
        self._mask = masks[0].copy()
        return observations[0].copy(), {"action_mask": masks[0].copy()}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take a step."""
        taken = action if self._mask[action] else np.flatnonzero(self._mask)[-1]
        observations, rewards, ended, masks = self._environment.step(np.array([taken], np.int32))
        self._mask = masks[0].copy()
        over = bool(ended[0])
        info = {"action_mask": masks[0].copy()}
        return observations[0].copy(), float(rewards[0]), over and not self._truncates, over and self._truncates, info
