"""What is chosen of SwapSim and SwapLive in; the same checked, and what a policy sees of a window, out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schedtel.agent.cold_start import pretrained
from schedtel.agent.context import Context, context_of
from schedtel.agent.reward import Costs, Reference, RewardSettings, costs_of
from schedtel.agent.settings import SWAP_COST
from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.schedulers.names import EEVDF
from schedtel.windows.grid import window_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedtel.windows.window import Window

#: EEVDF first. All of these can be had on a kernel without sched_ext, and in the simulator.
ARMS = (
    *(str(EEVDF), "policy:batch", "policy:slice=0.1ms", "policy:slice=100ms"),
    *("policy:hogs:idle", "policy:hogs:nice=10", "policy:short:nice=-10", "policy:short:slice=0.1ms"),
)


@dataclass(frozen=True)
class SwapSettings:
    """What both forms have.

    :param arms: by name, EEVDF first.
    :param reward: what a good window is.
    :param window: length of a window, which is a step.

    Raises :class:`UsageError` for a window out of range, and where EEVDF is not the first arm, or one is named twice.
    """

    arms: tuple[str, ...] = ARMS
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(swap_cost=SWAP_COST))
    window: str = "500ms"

    def __post_init__(self) -> None:
        window_length(self.window)
        if self.arms[:1] != ARMS[:1] or len(set(self.arms)) != len(self.arms):
            raise UsageError(
                f"cannot swap among {', '.join(self.arms)[:200]}: the first arm is eevdf, none comes twice"
            )

    @property
    def window_ns(self) -> int:
        return parse_duration(self.window)

    def reward_of(self, windows: Sequence[Window], reference: Reference, *, swapped: bool) -> float:
        """The reward of windows; 0 where it cannot be known, as where no task has woken."""
        return reference.reward(self.costs(windows), swapped=swapped) or 0.0

    def reference(self, windows: Sequence[Window]) -> Reference:
        """What windows under EEVDF cost."""
        found = Reference(self.reward)
        found.add(self.costs(windows), 0)
        return found

    def costs(self, windows: Sequence[Window]) -> Costs:
        """What windows cost."""
        return costs_of(windows, self.reward.tasks)


class View:
    """What the policy that ships sees of a window, in its scales, with marks of what is missing; and which arm ran."""

    def __init__(self, arms: Sequence[str]) -> None:
        policy = pretrained()
        self._names, self._scaler, self._arms = policy.names, policy.scaler, tuple(arms)

    @property
    def size(self) -> int:
        """Numbers of an observation."""
        return self._scaler.size + len(self._arms)

    def context(self, window: Window, arm: str) -> Context:
        """What the agent's policies are given of a window."""
        return context_of(window, arm, self._names)

    def write(self, context: Context, out: NDArray[np.float32]) -> None:
        """Write the observation, of shape (size,), that a context is."""
        size = self._scaler.size
        self._scaler.scaled(context.features, out[:size])
        out[size:] = [arm == context.running for arm in self._arms]
