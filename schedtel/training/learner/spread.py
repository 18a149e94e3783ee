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

    Raises :class:`UsageError` for values out of range.
    """

    workers: int
    address: str | None = None
    waits: bool = False
    most_age: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"cannot train with {self.workers:,} workers (give 1 to {MOST_WORKERS:,})")

    @property
    def limit(self) -> int:
        """``most_age``, or what is usual."""
        return _AGE * self.workers if self.most_age is None else self.most_age
