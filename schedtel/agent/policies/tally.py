"""Rewards of arms in; how often each was had, its mean and its standard deviation out.

A load that changes makes old rewards wrong. So a tally may have a short memory: the last W rewards (sliding window), or
all of them, each worth less by a factor with every later one (discount). A. Garivier, E. Moulines, "On Upper-Confidence
Bound Policies for Switching Bandit Problems", ALT 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schedtel.errors import UsageError

#: The longest sliding window.
_MOST_WINDOW = 100_000


@dataclass(frozen=True)
class Memory:
    """How rewards are forgotten.

    :param window: how many of the last rewards count; 0: all.
    :param discount: factor of a reward's weight with each later one; 1: none.

    Raises :class:`UsageError` for other values, and for both at once.
    """

    window: int = 0
    discount: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.window <= _MOST_WINDOW:
            raise UsageError(f"cannot remember {self.window} rewards: it must be 0 (all) to {_MOST_WINDOW}")
        if not 0 < self.discount <= 1:
            raise UsageError(f"cannot discount by {self.discount}: it must be above 0 and at most 1")
        if self.window and self.discount < 1:
            raise UsageError("cannot forget by a window and a discount at once (choose one)")


class Tally:
    """Sums of rewards by slot. ``count``, ``total`` and ``square`` have shape (slots,)."""

    def __init__(self, slots: int, memory: Memory) -> None:
        self._memory = memory
        self.count, self.total, self.square = np.zeros(slots), np.zeros(slots), np.zeros(slots)
        #: The rewards of a sliding window, as a ring: slot (-1: none) and reward; ``place`` is the oldest.
        self.kept = np.full((memory.window, 2), -1.0)
        self.place = np.zeros(1, np.int64)

    def add(self, slot: int, reward: float) -> None:
        """Count a reward of an arm."""
        if self._memory.discount < 1:
            self.soften(self._memory.discount)
        if self._memory.window:
            self._replace_oldest(slot, reward)
            return
        self.count[slot] += 1
        self.total[slot] += reward
        self.square[slot] += reward**2

    def _replace_oldest(self, slot: int, reward: float) -> None:
        """Sums anew of the window: to subtract the oldest for ever would add up rounding errors."""
        place = int(self.place[0]) % self._memory.window
        self.kept[place] = slot, reward
        self.place[0] = (place + 1) % self._memory.window
        known = self.kept[self.kept[:, 0] >= 0]
        slots, rewards = known[:, 0].astype(np.int64), known[:, 1]
        for sums, weights in ((self.count, None), (self.total, rewards), (self.square, rewards**2)):
            sums[:] = np.bincount(slots, weights, len(sums))

    def means(self) -> np.ndarray:
        """Mean reward by slot; 0 where there is none."""
        return self.total / np.maximum(self.count, 1e-9)

    def deviation(self) -> float:
        """Standard deviation of a reward around its arm's mean, over all arms; 0 where nothing is known."""
        count = float(self.count.sum())
        around = float((self.square - self.total * self.means()).sum())
        freedom = count - int((self.count > 0).sum())
        return float(np.sqrt(max(0.0, around) / freedom)) if freedom > 0 else 0.0

    def scatter(self) -> float:
        """Standard deviation of all rewards, whichever arm they are of, and at least 1e-6."""
        count = max(float(self.count.sum()), 1e-9)
        mean = float(self.total.sum()) / count
        return float(np.sqrt(max(1e-12, float(self.square.sum()) / count - mean**2)))

    def soften(self, factor: float) -> None:
        """Let all that was counted so far be worth less; a sliding window is emptied."""
        if self._memory.window:
            factor, self.kept[:] = 0.0, -1
        for sums in (self.count, self.total, self.square):
            np.multiply(sums, factor, out=sums)

    def clear(self, slot: int) -> None:
        """Forget the rewards of an arm."""
        for sums in (self.count, self.total, self.square):
            sums[slot] = 0
        self.kept[self.kept[:, 0] == slot] = -1

    def arrays(self) -> dict[str, np.ndarray]:
        """What is saved."""
        named = {"count": self.count, "total": self.total, "square": self.square}
        return named | ({"kept": self.kept, "place": self.place} if self._memory.window else {})
