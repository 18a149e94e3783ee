"""The BPF ring buffer, mapped: its file descriptor in, whole records out.

Layout: kernel/bpf/ringbuf.c. One writable page with the consumer's position, one read-only page with the producers',
then the data, mapped twice in a row so that no record is ever split. Every record is preceded by a 4-byte length,
whose upper two bits say busy and discarded, and a 4-byte page offset. All records here have one size, so that what
is readable is one array with a fixed stride.
"""

import mmap

import numpy as np

from schedtel.rows import Rows, opaque

_BUSY = np.uint32(1 << 31)
_DISCARDED = np.uint32(1 << 30)


class Ring:
    """Reader of a ring that carries records of one dtype only."""

    def __init__(self, fd: int, size_bytes: int, record: np.dtype) -> None:
        self._slot = np.dtype([("length", "<u4"), ("page_offset", "<u4"), ("record", opaque(record))])
        page = mmap.PAGESIZE
        self._consumer_map = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = np.frombuffer(self._consumer_map, "<u8", count=1)
        self._producer = np.frombuffer(self._producer_map, "<u8", count=1)
        self._mask = size_bytes - 1

    def drain(self, into: Rows) -> int:
        """Move every finished record out of the ring; returns how many there were."""
        position = int(self._consumer[0])
        readable = (int(self._producer[0]) - position) // self._slot.itemsize
        if not readable:
            return 0
        offset = mmap.PAGESIZE + (position & self._mask)
        slots = np.frombuffer(self._producer_map, self._slot, count=readable, offset=offset)
        state = slots["length"] & (_BUSY | _DISCARDED)
        if state.any():
            busy = np.flatnonzero(state & _BUSY)
            slots = slots[: busy[0]] if busy.size else slots
            moved = into.append(slots["record"], state[: len(slots)] == 0)
        else:
            moved = into.append(slots["record"])
        self._consumer[0] = position + len(slots) * self._slot.itemsize
        return moved
