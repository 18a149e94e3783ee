"""What the drain has copied out of the rings in; the same, for another thread to take, out. It has a bound."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from schedtel.records.event_layout import EVENT, LIFE_EVENT

#: 64 MB. Once so many are waiting, events stay in the rings, and what comes after is lost there, and told.
_MOST_EVENTS = 4 << 20


@dataclass(frozen=True)
class Taken:
    """Events by CPU, each in the order of time, shape (n,) of EVENT; and life events, shape (m,) of LIFE_EVENT."""

    events: dict[int, np.ndarray]
    lives: np.ndarray


class Copies:
    """Events between two threads: the drain adds, another one takes. Neither waits for the other."""

    def __init__(self, most_events: int = _MOST_EVENTS) -> None:
        self._parts: deque[tuple[int, np.ndarray]] = deque()
        self._lives: deque[np.ndarray] = deque()
        # Each has one writer: a number that two threads change would have to be locked.
        self._most, self._added, self._taken = most_events, 0, 0

    @property
    def room(self) -> int:
        """How many more events there is room for."""
        return max(0, self._most - self.waiting)

    @property
    def waiting(self) -> int:
        """How many events have been added and not been taken."""
        return self._added - self._taken

    def add(self, cpu: int, events: np.ndarray) -> None:
        """Add events of a CPU, later than all before, as an array of their bytes that nobody else will write."""
        self._parts.append((cpu, events.view(EVENT)))
        self._added += len(events)

    def append(self, lives: np.ndarray) -> int:
        """Copy life events, shape (n,); returns n. As a ring asks for it."""
        self._lives.append(lives.view(LIFE_EVENT).copy())
        return len(lives)

    def take(self) -> Taken:
        """All that has been added since the last call; life events at least as late as the events."""
        parts: dict[int, list[np.ndarray]] = {}
        for _ in range(len(self._parts)):
            cpu, events = self._parts.popleft()
            self._taken += len(events)
            parts.setdefault(cpu, []).append(events)
        lives = [self._lives.popleft() for _ in range(len(self._lives))]
        return Taken(
            {cpu: np.concatenate(pieces) for cpu, pieces in parts.items()},
            np.concatenate(lives) if lives else np.zeros(0, LIFE_EVENT),
        )
