"""What the drain has copied out of the rings in; the same, for another thread to take, out. It has a bound."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from schedtel.records.book_layout import BOOK
from schedtel.records.event_layout import EVENT, LIFE_EVENT

#: 64 MB. Once so many are waiting, events stay in the rings, and what comes after is lost there, and told.
_MOST_EVENTS = 4 << 20
#: 80 MB, which are taken only where books are asked for.
_MOST_BOOKS = 1 << 20


@dataclass(frozen=True)
class Taken:
    """Events by CPU, each in the order of time, shape (n,) of EVENT; life events, shape (m,) of LIFE_EVENT; and books
    by CPU, shape (k,) of BOOK.
    """

    events: dict[int, np.ndarray]
    lives: np.ndarray
    books: dict[int, np.ndarray] = field(default_factory=dict)


class Parts:
    """Records by CPU between two threads, up to a bound: the drain adds, another one takes. Neither waits."""

    def __init__(self, record: np.dtype, most: int) -> None:
        self._record, self._most = record, most
        self._parts: deque[tuple[int, np.ndarray]] = deque()
        # Each has one writer: a number that two threads change would have to be locked.
        self._added, self._taken = 0, 0

    @property
    def room(self) -> int:
        """How many more records there is room for."""
        return max(0, self._most - self.waiting)

    @property
    def waiting(self) -> int:
        """How many records have been added and not been taken."""
        return self._added - self._taken

    def add(self, cpu: int, records: np.ndarray) -> None:
        """Add records of a CPU, later than all before, as an array of their bytes that nobody else will write."""
        self._parts.append((cpu, records.view(self._record)))
        self._added += len(records)

    def take(self) -> dict[int, np.ndarray]:
        """All that has been added since the last call, by CPU."""
        parts: dict[int, list[np.ndarray]] = {}
        for _ in range(len(self._parts)):
            cpu, records = self._parts.popleft()
            self._taken += len(records)
            parts.setdefault(cpu, []).append(records)
        return {cpu: np.concatenate(pieces) for cpu, pieces in parts.items()}


class Copies:
    """Events, books and life events between two threads: the drain adds, another one takes. Neither waits."""

    def __init__(self, most_events: int = _MOST_EVENTS) -> None:
        self.events, self.books = Parts(EVENT, most_events), Parts(BOOK, _MOST_BOOKS)
        self._lives: deque[np.ndarray] = deque()

    def append(self, lives: np.ndarray) -> int:
        """Copy life events, shape (n,); returns n. As a ring asks for it."""
        self._lives.append(lives.view(LIFE_EVENT).copy())
        return len(lives)

    def take(self) -> Taken:
        """All that has been added since the last call; books and life events at least as late as the events."""
        events, books = self.events.take(), self.books.take()
        lives = [self._lives.popleft() for _ in range(len(self._lives))]
        return Taken(events, np.concatenate(lives) if lives else np.zeros(0, LIFE_EVENT), books)
