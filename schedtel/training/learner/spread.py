"""How many processes a person asks for in; the same, checked, out."""

from __future__ import annotations

from dataclasses import dataclass

from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

MOST_WORKERS, MOST_LEARNERS, MOST_SERVERS = 1024, 64, 64
#: Updates for which a network may act before it is too old, for each worker: twice what is learned from its chunk.
_AGE = 32
#: Updates after which a gradient is too old: with older ones, three of ten runs lost what they had learned.
GRADIENT_AGE = 4
#: Where transitions are kept.
REPLAYS = {"central": "one replay has those of all workers", "worker": "each worker has a replay of its own"}


@dataclass(frozen=True)
class Spread:
    """How a run is spread over processes.

    :param workers: processes that act.
    :param address: of a Ray cluster; None: one of this machine, made for the run.
    :param waits: whether all workers wait for what is learned from the chunks of all.
    :param most_age: updates after which a network that acted is too old, and what it did is discarded; None: 32 for
        each worker.
    :param backup: with ``waits``, for so many of the workers, the slowest, it is not waited; what they did is discarded
        once the network has changed (J. Chen et al., "Revisiting Distributed Synchronous SGD", 2016).
    :param learners: processes that work out gradients. With ``waits``, each does so for a part of every batch; without,
        for batches of its own.
    :param most_gradient_age: updates after which a gradient is too old, where learners do not wait: it is discarded,
        and its batch learned from anew.
    :param servers: processes that each have a part of the weights, and take their steps.
    :param replay: one of ``REPLAYS``.
    :param in_turn: whether all is done in this process, one after another, without Ray.

    Raises :class:`UsageError` for values out of range.
    """

    workers: int
    address: str | None = None
    waits: bool = False
    most_age: int | None = None
    backup: int = 0
    learners: int = 1
    most_gradient_age: int = GRADIENT_AGE
    servers: int = 1
    replay: str = "central"
    in_turn: bool = False

    def __post_init__(self) -> None:
        most = {"workers": MOST_WORKERS, "learners": MOST_LEARNERS, "servers": MOST_SERVERS}
        for name, limit in most.items():
            if not 1 <= getattr(self, name) <= limit:
                raise UsageError(f"cannot train with {getattr(self, name):,} {name} (give 1 to {limit:,})")
        if self.backup and not self.waits:
            raise UsageError("cannot have backup workers where none waits for another (add --synchronous)")
        if not 0 <= self.backup < self.workers:
            raise UsageError(f"cannot train with {self.backup:,} of {self.workers:,} workers as backup (give fewer)")
        if self.replay not in REPLAYS:
            known = did_you_mean(self.replay, REPLAYS)
            raise UsageError(f"cannot train with a replay {self.replay[:40]!r}: it is unknown ({known})")
        if self.in_turn and self.address is not None:
            raise UsageError("cannot train on a cluster and in this process as well (leave one of them out)")

    @property
    def limit(self) -> int:
        """``most_age``, or what is usual; 0 where workers wait."""
        if self.waits:
            return 0
        return _AGE * self.workers if self.most_age is None else self.most_age

    @property
    def awaited(self) -> int:
        """Chunks without which there is no update."""
        return self.workers - self.backup if self.waits else 1

    @property
    def is_served(self) -> bool:
        """Whether the weights are in a server, apart from what learns."""
        return self.learners > 1 or self.servers > 1

    @property
    def replays(self) -> int:
        """How many there are."""
        return self.workers if self.replay == "worker" else 1
