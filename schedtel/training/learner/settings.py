"""What a person asks a learner for in; the same, checked, with what is usual for the algorithm, out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schedtel.environments.registry import entry_of, options_of
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

#: Name → what it is, for a person.
ALGORITHMS = {
    "dqn": "action values: duelling, double, n-step, with prioritised replay",
    "reinforce": "a policy, by whole episodes beside others of the same instance",
    "ppo": "a policy, by small steps (clipped), against its own estimate of what comes",
}
#: Algorithm → what is usual for it.
_USUAL: Mapping[str, Mapping[str, Any]] = {"dqn": {}, "reinforce": {"rate": 1e-3}, "ppo": {"rate": 1e-3}}
#: Algorithm → why there are environments that it cannot learn.
_WHY_NOT = {
    "dqn": "it keeps what its actions are worth by their number, and here their number says nothing of them",
    "reinforce": "its episodes end only since their time is over, and cannot be had several times over",
}
#: In which order configurations are learned.
ORDERS = {
    "drawn": "each episode draws one",
    "gray": "one after another, each of which differs from the one before in one part",
    "shuffled": "one after another, as the seed has it",
}
#: How the environments of all workers get them.
ASSIGNED = {"share": "all have the same one at a time", "whole": "each has configurations of its own"}
#: How the share of random actions changes.
DECAYS = {
    "none": "it does not: more in the first environments than in the last",
    "linear": "by as much in each step",
    "exponential": "by the same share in each step",
    "inverse-sqrt": "quickly first, by the square root of the steps",
}
#: What runs had before there was a choice.
_BEFORE = {"order": "drawn", "assign": "share", "decay": "none"}
_LIMITS: Mapping[str, tuple[float, float]] = {
    "steps": (1, 10**12),
    "count": (1, 65_536),
    "seed": (0, (1 << 62) - 1),
    "discount": (0.0, 1.0),
    "rate": (1e-7, 1.0),
    "hidden": (1, 4096),
}


@dataclass(frozen=True)
class Settings:
    """How to learn.

    :param environment: a name of the registry.
    :param algorithm: one of ``ALGORITHMS``.
    :param options: what is chosen of the environment; what is not there is as usual.
    :param steps: steps of environments to learn from, those of all of them added.
    :param count: environments that take a step together.
    :param discount: what a reward of the next step counts, against one of this step.
    :param rate: step size of Adam.
    :param hidden: width of the network's two layers.
    :param order: one of ``ORDERS``; others than the first are for environments that have configurations.
    :param assign: one of ``ASSIGNED``, where there is an order.
    :param decay: one of ``DECAYS``; others than the first are for DQN.

    Raises :class:`UsageError` for a name that is unknown, and for values out of range.
    """

    environment: str
    algorithm: str = "dqn"
    steps: int = 2_000_000
    seed: int = 0
    count: int = 256
    discount: float = 0.95
    rate: float = 5e-4
    hidden: int = 64
    order: str = "drawn"
    assign: str = "share"
    decay: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entry = entry_of(self.environment)
        object.__setattr__(self, "options", options_of(self.environment, self.options))
        if self.algorithm not in ALGORITHMS:
            raise UsageError(
                f"cannot train by {self.algorithm[:60]!r}: it is unknown ({did_you_mean(self.algorithm, ALGORITHMS)})"
            )
        if self.algorithm not in entry.algorithms:
            raise UsageError(
                f"cannot train {self.environment} by {self.algorithm}: {_WHY_NOT[self.algorithm]} "
                f"(choose {' or '.join(entry.algorithms)})"
            )
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"cannot train with {name} {getattr(self, name):,}: it must be {low:,} to {high:,}")
        self._refuse_ways()

    def _refuse_ways(self) -> None:
        """Raise :class:`UsageError` for ways of learning that are unknown, and for those that there are not here."""
        for name, known in (("order", ORDERS), ("assign", ASSIGNED), ("decay", DECAYS)):
            said = getattr(self, name)
            if said not in known:
                raise UsageError(f"cannot train with {name} {said[:40]!r}: it is unknown ({did_you_mean(said, known)})")
        for cannot_be, what, why in self._impossible():
            if cannot_be:
                raise UsageError(f"cannot train {what}: {why}")

    def _impossible(self) -> Iterator[tuple[bool, str, str]]:
        is_whole, is_ordered = self.assign == "whole", self.order != "drawn"
        has_order = entry_of(self.environment).has_configurations
        why = "it has no configurations (leave the order out)"
        yield is_ordered and not has_order, f"{self.environment} in an order", why
        why = "each episode draws one (choose another order)"
        yield is_whole and not is_ordered, "with whole configurations", why
        why = "it compares episodes of one configuration (share them)"
        yield is_whole and self.algorithm == "reinforce", "by reinforce with whole configurations", why
        why = "its policy says how often it explores (leave the decay out)"
        yield self.decay != "none" and self.algorithm != "dqn", f"by {self.algorithm} with a decay", why

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def progress(self, steps: int) -> float:
        """The part of the run that so many steps are, from 0 to 1."""
        return min(1.0, steps / self.steps)


def usual(environment: str, algorithm: str) -> dict[str, Any]:
    """What is usual for this algorithm in this environment, by the names of :class:`Settings`."""
    return {"discount": entry_of(environment).discount, **_USUAL[algorithm]}


def settings_of(said: object) -> Settings:
    """The settings in what JSON said. Raises :class:`ValueError` or :class:`TypeError` where it does not say any."""
    if not isinstance(said, dict):
        raise TypeError("no settings")
    kinds: dict[str, tuple[type, ...]] = dict.fromkeys(("steps", "seed", "count", "hidden"), (int,))
    kinds |= {"environment": (str,), "algorithm": (str,), "discount": (int, float), "rate": (int, float)}
    kinds |= {"options": (dict,), **dict.fromkeys(_BEFORE, (str,))}
    found: dict[str, Any] = {**_BEFORE, **said}
    if found.keys() != kinds.keys() or any(type(found[name]) not in kind for name, kind in kinds.items()):
        raise ValueError("other settings")
    return Settings(**found)
