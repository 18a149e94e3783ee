"""The file descriptor of a BPF ring buffer in; whole records out of its mapped memory.

Layout: kernel/bpf/ringbuf.c. One writable page with the consumer's position, one read-only page with the producers',
then the data. A 4-byte length, whose uppermost bit says busy, and a 4-byte page offset precede every record. (The next
bit says discarded; schedtel's programs discard none.) All records have one size, so the readable part is an array with
a fixed stride, except for the one record that begins at the memory's end and goes on at its beginning. The kernel
offers the data twice in a row to avoid that split, but the second mapping would count as resident memory once more.
"""

import mmap
from typing import Protocol

import numpy as np

from schedtel.records.buffer import opaque

_BUSY = np.uint32(1 << 31)


class Sink(Protocol):
    """What records are moved to."""

    def append(self, records: np.ndarray) -> int:
        """Copy records of shape (n,); returns n."""


class Ring:
    """Reader of a ring that carries records of one dtype only."""

    def __init__(self, fd: int, size_bytes: int, record: np.dtype) -> None:
        self._slot = np.dtype([("length", "<u4"), ("page_offset", "<u4"), ("record", opaque(record))])
        page = mmap.PAGESIZE
        self._consumer_map = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(fd, page + size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = np.frombuffer(self._consumer_map, "<u8", count=1)
        self._producer = np.frombuffer(self._producer_map, "<u8", count=1)
        self._memory = memoryview(self._producer_map)[page:]

    def drain(self, into: Sink) -> int:
        """Move every finished record out of the ring; returns how many there were."""
        position, end, moved = int(self._consumer[0]), int(self._producer[0]), 0
        while position < end:
            slots = self._in_one_piece(position, end)
            busy = slots["length"] >= _BUSY
            finished = int(busy.argmax()) if busy.any() else len(slots)
            moved += into.append(slots["record"][:finished])
            position += finished * self._slot.itemsize
            if finished < len(slots):
                break
        self._consumer[0] = position
        return moved

    def _in_one_piece(self, position: int, end: int) -> np.ndarray:
        """The slots from a position up to the end of the memory, or the one slot that lies across it; shape (n,)."""
        start, size = position & (len(self._memory) - 1), self._slot.itemsize
        count = min(end - position, len(self._memory) - start) // size
        if count:
            return np.frombuffer(self._memory, self._slot, count, start)
        head = self._memory[start:]
        return np.frombuffer(bytes(head) + bytes(self._memory[: size - len(head)]), self._slot)
