"""A loaded object in; what its programs have written to the rings of the CPUs, in mapped memory, out."""

import mmap

import numpy as np

from schedtel.host.cpus import possible_cpus
from schedtel.kernel.events.copies import Parts
from schedtel.kernel.libbpf import BpfObject
from schedtel.records.buffer import opaque
from schedtel.records.event_layout import EVENT_RING


class Rings:
    """A ring of records for each of some CPUs: parts of one map, beside another map of their heads.

    :param size: records in each ring, a power of two.
    """

    def __init__(self, heads: str, records: str, record: np.dtype, cpus: list[int], size: int) -> None:
        self._names, self._record, self._cpus, self._size = (heads, records), record, cpus, size

    def set_sizes(self, opened: BpfObject) -> None:
        """Size the maps of an object that is not loaded yet."""
        heads, records = self._names
        opened.set_max_entries(heads, possible_cpus())
        opened.set_max_entries(records, len(self._cpus) * self._size)

    def map(self, loaded: BpfObject) -> None:
        """Map the memory, and give each CPU its part."""
        heads, records = self._names
        head_map = mmap.mmap(loaded.map_fd(heads), possible_cpus() * EVENT_RING.itemsize, mmap.MAP_SHARED)
        record_bytes = len(self._cpus) * self._size * self._record.itemsize
        record_map = mmap.mmap(loaded.map_fd(records), record_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        self._heads = np.frombuffer(head_map, EVENT_RING)
        self._records = np.frombuffer(record_map, opaque(self._record)).reshape(len(self._cpus), self._size)
        for place, cpu in enumerate(self._cpus):
            self._heads["first"][cpu], self._heads["size"][cpu] = place * self._size, self._size

    def drain(self, into: Parts) -> bool:
        """Move all that the programs have written into ``into``; returns whether there was room for all.

        One thread calls it.
        """
        heads, tails, has_all = self._heads["head"], self._heads["tail"], True
        for place, cpu in enumerate(self._cpus):
            tail, written = int(tails[cpu]), int(heads[cpu])
            head = min(written, tail + into.room)
            has_all = has_all and head == written
            if head == tail:
                continue
            begin, end = tail % self._size, head % self._size
            if begin < end:
                into.add(cpu, self._records[place, begin:end].copy())
            else:
                into.add(cpu, np.concatenate([self._records[place, begin:], self._records[place, :end]]))
            tails[cpu] = head
        return has_all

    @property
    def lost_at_end(self) -> dict[int, int]:
        """CPU → how many records were lost after the last one that its ring has, where there are any."""
        lost = self._heads["lost"]
        return {int(cpu): int(lost[cpu]) for cpu in np.flatnonzero(lost)}
