"""The BPF ring buffer, mapped: its file descriptor in, structured arrays of whole records out.

Layout: kernel/bpf/ringbuf.c. One writable page with the consumer's position, one read-only page with the producers',
then the data, mapped twice in a row so that no record is ever split. Every record is preceded by a 4-byte length,
whose upper two bits say busy and discarded, and a 4-byte page offset. All records here have one size, so that what
is readable is one array with a fixed stride.
"""

import mmap

import numpy as np

_BUSY = np.uint32(1 << 31)
_DISCARDED = np.uint32(1 << 30)


class Ring:
    """Reader of a ring that carries records of one dtype only."""

    def __init__(self, fd: int, size_bytes: int, record: np.dtype) -> None:
        self._record = record
        self._slot = np.dtype([("length", "<u4"), ("page_offset", "<u4"), ("record", opaque(record))])
        page = mmap.PAGESIZE
        self._consumer_map = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = np.frombuffer(self._consumer_map, "<u8", count=1)
        self._producer = np.frombuffer(self._producer_map, "<u8", count=1)
        self._mask = size_bytes - 1

    def drain(self) -> np.ndarray:
        """Take out every finished record: a new structured array of shape (records,), possibly empty."""
        position = int(self._consumer[0])
        readable = (int(self._producer[0]) - position) // self._slot.itemsize
        offset = mmap.PAGESIZE + (position & self._mask)
        slots = np.frombuffer(self._producer_map, self._slot, count=readable, offset=offset)
        lengths = slots["length"]
        busy = np.flatnonzero(lengths & _BUSY)
        if busy.size:
            slots, lengths = slots[: busy[0]], lengths[: busy[0]]
        records = slots["record"][(lengths & _DISCARDED) == 0]
        self._consumer[0] = position + len(slots) * self._slot.itemsize
        return records.view(self._record)


def opaque(record: np.dtype) -> np.dtype:
    """Records of a dtype as plain bytes, which numpy copies whole: field by field it takes ten times as long."""
    return np.dtype((np.void, record.itemsize))
