"""A context in; an arm and the chance that it had out. The one protocol of all policies.

A policy makes a chance for each arm, and the arm is drawn by these chances here, in one place: so the propensity that a
decision carries is the chance that the arm had, whatever the policy is. A floor gives every allowed arm a chance, which
judging other policies by the log needs. A budget bounds how often arms are tried that are believed to be worse.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from schedtel.agent.context import CHOSEN, Context, Scaler, check_features
from schedtel.agent.policies.drift import Drift
from schedtel.agent.policies.protocol import USUAL, Belief, Decision, Settings, View
from schedtel.agent.policies.tally import Tally
from schedtel.errors import UsageError
from schedtel.windows.features import FEATURES_VERSION

#: Arms that a policy can have at a time. An array by arm has as many rows, so that arms may come and go.
MOST_ARMS = 16
#: The longest name of an arm is that of :mod:`schedtel.schedulers.names`.
_LONGEST_NAME = 4096
#: With fewer rewards of an arm, nothing is known of how far its mean may be off.
_LEAST_COUNT = 2
#: What is kept of the past when a change is seen.
_KEPT = 0.1
#: A belief's interval holds for one of 20 arms not.
NORMAL_95 = 1.96


class Policy(ABC):
    """Chooses arms and learns from rewards. Larger rewards are better; 0 is what the default arm has.

    :param arms: their names, at least one.
    :param names: the features that it sees, by name.

    Raises :class:`UsageError` for no arms or too many, for a name that is empty or given twice, for unknown features.
    """

    #: The name in the registry and in files.
    name: ClassVar[str]
    #: Whether it learns. What does not is a yardstick, and is held to no budget.
    learns: ClassVar[bool] = True
    #: Names of the options that it has.
    takes: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        arms: Sequence[str],
        names: Sequence[str] = CHOSEN,
        settings: Settings = USUAL,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.settings, self.names, self.options = settings, tuple(names), dict(options)
        check_features(self.names, FEATURES_VERSION, "these features")
        self._slots: dict[str, int] = {}
        self.scaler = Scaler(len(self.names))
        self.tally, self.drift = Tally(MOST_ARMS, settings.memory), Drift()
        self.random = np.random.Generator(np.random.PCG64(settings.seed))
        #: Decisions made, chances given to arms believed worse, rewards learned, rewards since the last change.
        self.counters = np.zeros(4)
        self._x = np.zeros(1 + self.scaler.size + MOST_ARMS)
        for arm in arms:
            self.add_arm(arm)
        if not arms:
            raise UsageError("cannot make a policy without arms (name one at least)")
        if unknown := self.options.keys() - self.takes:
            raise UsageError(
                f"cannot use option {min(unknown)[:60]!r} for policy {self.name}: it has none of this name"
            )

    # ---- arms ----

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, in the order in which they came."""
        return tuple(self._slots)

    def add_arm(self, arm: str) -> None:
        """Add an arm of which nothing is known. Raises :class:`UsageError` if it is there, or there are too many."""
        if not arm or len(arm) > _LONGEST_NAME or arm in self._slots:
            raise UsageError(f"cannot add arm {arm[:60]!r}: its name is empty, too long, or given twice")
        free = sorted(set(range(MOST_ARMS)) - set(self._slots.values()))
        if not free:
            raise UsageError(f"cannot add arm {arm[:60]!r}: {MOST_ARMS} arms is the most")
        self._slots[arm] = free[0]

    def remove_arm(self, arm: str) -> None:
        """Remove an arm and what was learned of it. Raises :class:`UsageError` if it is not there, or the last one."""
        slot = self._slot(arm)
        if len(self._slots) == 1:
            raise UsageError(f"cannot remove arm {arm[:60]!r}: it is the last one")
        del self._slots[arm]
        self.tally.clear(slot)
        self._clear(slot)

    def slots(self) -> dict[str, int]:
        """The row that each arm has in arrays by arm."""
        return dict(self._slots)

    def place(self, slots: Mapping[str, int]) -> None:
        """Give each arm this row, before anything is learned. Raises :class:`UsageError` for rows that are none."""
        rows = list(slots.values())
        if set(slots) != set(self._slots) or len(set(rows)) != len(rows) or not set(rows) <= set(range(MOST_ARMS)):
            raise UsageError("cannot place the arms: the rows of two are the same, or none")
        self._slots = dict(slots)

    def _slot(self, arm: str) -> int:
        if arm not in self._slots:
            raise UsageError(f"cannot use arm {arm[:60]!r}: the policy has {', '.join(self._slots)[:200]}")
        return self._slots[arm]

    # ---- the protocol ----

    def decide(self, context: Context, allowed: Collection[str] | None = None) -> Decision:
        """Draw an arm.

        :param allowed: the arms that may be chosen, such as those not in quarantine; None: all.

        Raises :class:`UsageError` for other features, unknown arms, or no allowed arm.
        """
        slots, chances, worse = self._weighed(context, allowed)
        self.counters[0] += 1
        self.counters[1] += chances[worse].sum()
        named = self._named(slots, chances)
        arm = self._drawn(named)
        return Decision(arm, named[arm], named)

    def _drawn(self, chances: Mapping[str, float]) -> str:
        """An arm, with these chances."""
        left = self.random.random() * sum(chances.values())
        for arm, chance in chances.items():
            left -= chance
            if left < 0:
                return arm
        return max(chances, key=chances.__getitem__)  # rounding has left a rest

    def chances(self, context: Context, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The chance that each allowed arm would have now, without deciding; the errors are those of `decide`."""
        slots, chances, _ = self._weighed(context, allowed)
        return self._named(slots, chances)

    def beliefs(self, context: Context) -> dict[str, Belief]:
        """What it thinks of each arm now, by name."""
        slots = np.array(list(self._slots.values()))
        means, widths = self._judged(self._encoded(context), slots)
        pairs = zip(self._slots, means.tolist(), widths.tolist(), strict=True)
        return {arm: Belief(mean, width) for arm, mean, width in pairs}

    def learn(self, context: Context, arm: str, propensity: float, reward: float) -> None:
        """Learn from the reward of an arm that ran after this context.

        :param propensity: the chance that the arm had.

        Raises :class:`UsageError` for an arm or features that are not the policy's, and numbers that are none.
        """
        if not (0 < propensity <= 1 and np.isfinite(reward)):
            raise UsageError(f"cannot learn from a reward of {reward} with propensity {propensity}: it is no number")
        error = self._take(context, self._slot(arm), propensity, reward)
        if self.settings.drift and self.learns and self.drift.add(error):
            self.explore_again()

    def _take(self, context: Context, slot: int, propensity: float, reward: float) -> float:
        """Learn from a reward; returns how far it was from what was believed."""
        if context.features.names != self.names:
            self._refuse_features()
        self.scaler.add(context.features)
        x = self._encoded(context)
        expected = float(self._judged(x, np.array([slot]))[0][0])
        self.counters[2:] += 1
        self.tally.add(slot, reward)
        self._learn(x, slot, propensity, reward)
        return reward - expected

    def fit(self, contexts: Sequence[Context], rewards: np.ndarray) -> None:
        """Learn from experiments, in which the rewards of several arms in a context are known.

        A change of the load is not looked for: it is no change when another experiment begins.

        :param rewards: of shape (contexts, arms), in the order of :attr:`arms`; NaN where one is not known.

        Raises :class:`UsageError` for another shape, and the errors of :meth:`learn`.
        """
        self._check_table(contexts, rewards)
        for context, row in zip(contexts, rewards, strict=True):
            for slot, reward in zip(self._slots.values(), row.tolist(), strict=True):
                if np.isfinite(reward):
                    self._take(context, slot, 1.0, reward)

    def _check_table(self, contexts: Sequence[Context], rewards: np.ndarray) -> None:
        if rewards.shape != (len(contexts), len(self._slots)) or not len(contexts):
            raise UsageError(
                f"cannot learn from rewards of shape {rewards.shape}: it must be a row a context and a column an arm"
            )
        for context in contexts:
            if context.features.names != self.names:
                self._refuse_features()

    def _inputs_of(self, contexts: Sequence[Context]) -> np.ndarray:
        """The encoded contexts of a table, shape (contexts, inputs), after the scales were learned from them."""
        for context in contexts:
            self.scaler.add(context.features)
        return np.array([self._encoded(context).copy() for context in contexts])

    def explore_again(self, kept: float = _KEPT) -> None:
        """Trust what was learned so far less, as when the load has changed.

        :param kept: what each reward so far is worth from now on, of what it was worth: 0 to 1.
        """
        self.counters[3] = 0
        self.tally.soften(kept)
        self._soften(kept)

    def contributions(self, _context: Context) -> np.ndarray | None:
        """What each input adds to the score of each arm, where a score is such a sum; else None.

        Of shape (arms, inputs), in the order of :attr:`arms`. The inputs are 1, the scaled features, their marks, and
        a 1 for the arm that runs. An arm's score is its believed reward, or a logit.
        """
        return None

    # ---- what a policy is ----

    @abstractmethod
    def _chances(self, view: View) -> np.ndarray:
        """The chance of each slot, shape (slots,), with sum 1; the floor and the budget come afterwards."""

    def _judged(self, _x: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean reward and width of its interval for each slot; by the tally, unless a policy knows better."""
        count, half = self.tally.count[slots], NORMAL_95 * self.tally.deviation()
        widths = np.where(count >= _LEAST_COUNT, half / np.sqrt(np.maximum(count, 1)), np.inf)
        return self.tally.means()[slots], widths

    def _learn(self, _x: np.ndarray, _slot: int, _propensity: float, _reward: float) -> None:
        """Learn what is not in the tally; nothing, unless a policy says so here."""
        return

    def _soften(self, _kept: float) -> None:
        """Trust what is not in the tally less."""
        return

    def _clear(self, _slot: int) -> None:
        """Forget what is not in the tally of an arm, as an arm and as the one that runs."""
        return

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was learned, by name, for files: the arrays themselves."""
        mine = {"counters": self.counters, "drift": self.drift.state}
        mine |= {"seen": self.scaler.seen, "centre": self.scaler.centre, "variance": self.scaler.variance}
        return mine | {f"tally.{name}": values for name, values in self.tally.arrays().items()}

    def refresh(self) -> None:
        """Make what follows from :meth:`arrays`, once a file has filled them."""
        return

    # ---- on the way to a decision ----

    def _weighed(self, context: Context, allowed: Collection[str] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The allowed slots, the chance of each, and which of them are believed worse than the best."""
        slots = self._allowed(allowed)
        x = self._encoded(context)
        means, widths = self._judged(x, slots)
        chances = self._chances(View(context, x, slots, means, widths))
        worse = means + widths < means.max()
        if self.learns and self.settings.budget is not None and worse.any():
            chances = self._within_budget(chances, worse, int(means.argmax()))
        floor = self.settings.floor
        return slots, (1 - floor) * chances + floor / len(slots), worse

    def _allowed(self, allowed: Collection[str] | None) -> np.ndarray:
        if allowed is None:
            return np.fromiter(self._slots.values(), np.int64, len(self._slots))
        unknown = set(allowed) - set(self._slots)
        if unknown or not allowed:
            what = f"the policy has no arm {min(unknown)[:60]!r}" if unknown else "no arm is allowed"
            raise UsageError(f"cannot decide: {what} (allow {', '.join(self._slots)[:200]})")
        return np.array([slot for arm, slot in self._slots.items() if arm in allowed])

    def _within_budget(self, chances: np.ndarray, worse: np.ndarray, best: int) -> np.ndarray:
        """The chances, with those of arms believed worse cut to what the budget has left after the floor."""
        decided, spent = self.counters[:2].tolist()
        floor, budget = self.settings.floor, self.settings.budget or 0.0
        by_floor = floor * float(worse.mean())
        room = max(0.0, budget * (decided + 1) - spent - by_floor)
        wanted = (1 - floor) * float(chances[worse].sum())
        if wanted <= room:
            return chances
        kept = np.where(worse, chances * (room / wanted), chances)
        kept[best] += 1 - kept.sum()
        return kept

    def _encoded(self, context: Context) -> np.ndarray:
        """1, the scaled features and their marks, and a 1 at the slot of the arm that runs: shape (inputs,)."""
        if context.features.names != self.names:
            self._refuse_features()
        x, size = self._x, self.scaler.size
        x[0] = 1
        self.scaler.scaled(context.features, x[1 : 1 + size])
        x[1 + size :] = 0
        if (running := self._slots.get(context.running)) is not None:
            x[1 + size + running] = 1
        return x

    def _refuse_features(self) -> None:
        raise UsageError(f"cannot use these features: the policy sees {', '.join(self.names)[:200]}, in this order")

    def _named(self, slots: np.ndarray, chances: np.ndarray) -> dict[str, float]:
        by_slot = dict(zip(slots.tolist(), chances.tolist(), strict=True))
        return {arm: by_slot[slot] for arm, slot in self._slots.items() if slot in by_slot}
