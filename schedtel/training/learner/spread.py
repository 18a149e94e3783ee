"""How many processes a person asks for in; the same, checked, out."""

from __future__ import annotations

from dataclasses import dataclass

from schedtel.errors import UsageError

MOST_WORKERS = 1024
#: Updates for which a network may act before it is too old, for each worker: twice what is learned from its chunk.
_AGE = 32


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

    Raises :class:`UsageError` for values out of range.
    """

    workers: int
    address: str | None = None
    waits: bool = False
    most_age: int | None = None
    backup: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"cannot train with {self.workers:,} workers (give 1 to {MOST_WORKERS:,})")
        if self.backup and not self.waits:
            raise UsageError("cannot have backup workers where none waits for another (add --synchronous)")
        if not 0 <= self.backup < self.workers:
            raise UsageError(f"cannot train with {self.backup:,} of {self.workers:,} workers as backup (give fewer)")

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
