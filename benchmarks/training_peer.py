"""Our environments, and Stable-Baselines3, in; its DQN at work in them out."""

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecEnv

from schedtel.environments.batched import Batched
from schedtel.environments.registry import entry_of


class Adapted(VecEnv):
    """Environments in the form that it takes. It knows no masks: an action that would change nothing is done."""

    def __init__(self, environment: Batched) -> None:
        self._environment = environment
        seen = gymnasium.spaces.Box(-64, 64, (environment.observation_size,), np.float32)
        super().__init__(environment.count, seen, gymnasium.spaces.Discrete(environment.action_count))

    def reset(self) -> np.ndarray:
        return self._environment.reset(1)[0].copy()

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions.astype(np.int32)

    def step_wait(self) -> tuple[Any, ...]:
        seen, rewards, ended, _ = self._environment.step(self._actions)
        seen, over = seen.copy(), {"TimeLimit.truncated": True}
        told = [over | {"terminal_observation": one} if end else {} for one, end in zip(seen, ended, strict=True)]
        return seen, rewards.copy(), ended.copy(), told

    def close(self) -> None:
        pass

    def get_attr(self, *_: Any, **__: Any) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, *_: Any, **__: Any) -> None:
        pass

    def env_method(self, *_: Any, **__: Any) -> list[Any]:
        return [None] * self.num_envs

    def env_is_wrapped(self, *_: Any, **__: Any) -> list[bool]:
        return [False] * self.num_envs


def learner(environment: str, count: int, begins: int) -> Callable[[int], int]:
    """Makes so many more steps, and learns; after the first ``begins`` of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dqn = DQN(
            "MlpPolicy",
            Adapted(entry_of(environment).make(count)),
            policy_kwargs={"net_arch": [128, 128]},
            buffer_size=1 << 17,
            learning_starts=begins,
            batch_size=512,
            gradient_steps=1,
            train_freq=1,
            n_steps=3,
            target_update_interval=500,
            device="cpu",
        )

    def learn(steps: int) -> int:
        dqn.learn(steps, reset_num_timesteps=False)
        return steps

    return learn
