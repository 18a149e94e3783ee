"""Where drained records wait for their window: parts of a ring or of a full page in, one array a window out."""

import numpy as np

_FEWEST = 1024


class RecordBuffer:
    """A growing array of records whose memory is used again from window to window.

    Memory that the kernel has just handed out costs a page fault every 4 KB, which is as much as copying the records.
    """

    def __init__(self, record: np.dtype) -> None:
        self._record = record
        self._memory = np.empty(_FEWEST, opaque(record))
        self._count = 0
        self._early = self._memory[:0].copy()

    def __len__(self) -> int:
        """How many wait, of whatever window."""
        return self._count + len(self._early)

    def append(self, records: np.ndarray) -> int:
        """Copy records of shape (n,); returns how many."""
        self._place_early()
        into = self._room(len(records))
        into[:] = records.view(into.dtype)
        self._count += len(records)
        return len(records)

    def _place_early(self) -> None:
        """Records that came before their window was open are its first ones."""
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
        """The records of one window, in any order, valid until the next :meth:`append`; later ones stay, earlier go."""
        self._place_early()
        records = self._memory[: self._count]
        windows = records.view(self._record)["window"]
        self._early = records[windows > window]
        wanted = windows == window
        count = int(np.count_nonzero(wanted))
        # In place: of a storm, copying all would take longer than anything else here, for the few that are not wanted.
        records[:count][~wanted[:count]] = records[count:][wanted[count:]]
        self._shrink()
        self._count = 0
        return records[:count].view(self._record)

    def _shrink(self) -> None:
        """A crowd that has gone gives its memory back, half of it a window."""
        if max(_FEWEST, 4 * self._count) < len(self._memory):
            self._memory = np.empty(len(self._memory) // 2, self._memory.dtype)


def opaque(record: np.dtype) -> np.dtype:
    """Records of a dtype as plain bytes, which numpy copies whole: field by field it takes ten times as long."""
    return np.dtype((np.void, record.itemsize))
