"""Records drained from a ring or a full page in; one array of records for each window out."""

import numpy as np

_LEAST_CAPACITY = 1024


class RecordBuffer:
    """A growing array of records whose memory is used again from window to window.

    Fresh memory costs a page fault every 4 KB, which takes as long as copying the records.
    """

    def __init__(self, record: np.dtype) -> None:
        self._record = record
        self._memory = np.empty(_LEAST_CAPACITY, opaque(record))
        self._count = 0
        self._early = self._memory[:0].copy()

    def __len__(self) -> int:
        """Number of records held, of all windows."""
        return self._count + len(self._early)

    def append(self, records: np.ndarray) -> int:
        """Copy records of shape (n,) into the buffer; returns n."""
        self._place_early()
        room = self._room(len(records))
        room[:] = records.view(room.dtype)
        self._count += len(records)
        return len(records)

    def _place_early(self) -> None:
        """Put the records that came before their window was open in front of all others."""
        if len(self._early):
            early, self._early = self._early, self._early[:0]
            self.append(early)

    def _room(self, added: int) -> np.ndarray:
        needed = self._count + added
        if needed > len(self._memory):
            grown = np.empty(max(needed, 2 * len(self._memory)), self._memory.dtype)
            grown[: self._count] = self._memory[: self._count]
            self._memory = grown
        return self._memory[self._count : needed]

    def take(self, window: int) -> np.ndarray:
        """The records of one window, in any order, valid until the next :meth:`append`.

        Records of later windows stay, those of earlier windows are dropped.
        """
        self._place_early()
        records = self._memory[: self._count]
        windows = records.view(self._record)["window"]
        self._early = records[windows > window]
        wanted = windows == window
        count = int(np.count_nonzero(wanted))
        # In place: after a storm of exits, a copy of all records would take longest here, to leave out only a few.
        records[:count][~wanted[:count]] = records[count:][wanted[count:]]
        self._shrink()
        self._count = 0
        return records[:count].view(self._record)

    def _shrink(self) -> None:
        """Give memory back after a storm of exits: half of it in each window, while less than a quarter is used."""
        if max(_LEAST_CAPACITY, 4 * self._count) < len(self._memory):
            self._memory = np.empty(len(self._memory) // 2, self._memory.dtype)


def opaque(record: np.dtype) -> np.dtype:
    """A dtype of the same size without fields: copying a record field by field takes numpy ten times as long."""
    return np.dtype((np.void, record.itemsize))
