"""The ring reader on memory laid out as the kernel lays it out (kernel/bpf/ringbuf.c)."""

import mmap
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedtel.kernel.core.ring import Ring
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer

BUSY = 1 << 31
RING_BYTES = 2 * mmap.PAGESIZE
#: 264 bytes with its header: 31 records fit into the ring, and none ends where the ring ends.
RECORD = np.dtype([("number", "<u8"), ("rest", "<u8", (31,))])


class Producer:
    """The kernel's side of a ring: one page for each of the two positions, then the data, mapped twice in a row."""

    def __init__(self, record: np.dtype = RECORD, size: int = RING_BYTES):
        self.record, self.size, self.position = record, size, 0
        self.stride = (8 + record.itemsize + 7) // 8 * 8
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * mmap.PAGESIZE + 2 * size)
        self._memory = mmap.mmap(self.fd, 0)

    @property
    def consumed(self) -> int:
        return struct.unpack_from("<Q", self._memory, 0)[0]

    def room(self) -> int:
        return (self.size - (self.position - self.consumed)) // self.stride

    def reserve(self, number: int) -> int:
        """Write a record, still busy; returns its position."""
        assert self.room(), "the ring is full"
        values = np.zeros(1, self.record)
        values[self.record.names[0]] = number
        at = self.position
        self._write(at, struct.pack("<II", self.record.itemsize | BUSY, 0) + values.tobytes())
        self.position += self.stride
        struct.pack_into("<Q", self._memory, mmap.PAGESIZE, self.position)
        return at

    def commit(self, at: int) -> None:
        self._write(at, struct.pack("<I", self.record.itemsize))

    def _write(self, at: int, content: bytes) -> None:
        base = 2 * mmap.PAGESIZE
        for i, byte in enumerate(content):
            offset = (at + i) % self.size
            self._memory[base + offset] = self._memory[base + self.size + offset] = byte

    def close(self) -> None:
        os.close(self.fd)


@pytest.fixture
def producer():
    made = Producer()
    yield made
    made.close()


@pytest.fixture
def ring(producer) -> Ring:
    return Ring(producer.fd, RING_BYTES, RECORD)


def submit(producer: Producer, number: int) -> None:
    producer.commit(producer.reserve(number))


class Numbers(RecordBuffer):
    """A record buffer that tells records by their first field."""

    def drained(self, ring: Ring) -> list[int]:
        moved = ring.drain(self)
        numbers = self._memory[: self._count].view(self._record)[self._record.names[0]].tolist()
        assert len(numbers) == moved
        self._count = 0
        return numbers


def drained(ring: Ring) -> list[int]:
    return Numbers(RECORD).drained(ring)


def test_an_empty_ring_gives_nothing(ring):
    assert drained(ring) == []


def test_records_come_out_once_and_in_order(producer, ring):
    for number in range(5):
        submit(producer, number)
    assert drained(ring) == [0, 1, 2, 3, 4]
    assert drained(ring) == []


def test_a_busy_record_holds_back_what_is_behind_it(producer, ring):
    submit(producer, 1)
    busy = producer.reserve(2)
    submit(producer, 3)
    assert drained(ring) == [1]
    assert drained(ring) == []
    assert producer.consumed == busy
    producer.commit(busy)
    assert drained(ring) == [2, 3]


def test_a_full_ring_is_read_whole(producer, ring):
    numbers = list(range(producer.room()))
    for number in numbers:
        submit(producer, number)
    assert producer.room() == 0
    assert drained(ring) == numbers


def test_a_record_across_the_end_of_the_ring_is_whole(producer, ring):
    for number in range(20 * producer.room()):
        submit(producer, number)
        assert drained(ring) == [number]


def test_what_was_drained_does_not_change_when_the_ring_goes_on(producer, ring):
    submit(producer, 7)
    rows = RecordBuffer(RECORD)
    ring.drain(rows)
    first = rows._memory[:1].view(RECORD)
    for number in range(100, 100 + 2 * producer.room()):
        submit(producer, number)
        drained(ring)
    assert first["number"].tolist() == [7]


def test_task_records_pass_unchanged():
    producer = Producer(layout.TASK_RECORD, 4 * mmap.PAGESIZE)
    ring = Ring(producer.fd, producer.size, layout.TASK_RECORD)
    for window in range(60):
        submit(producer, window)
        assert Numbers(layout.TASK_RECORD).drained(ring) == [window]
    producer.close()


@given(steps=st.lists(st.sampled_from(["submit", "reserve", "commit", "drain"]), max_size=120))
def test_any_order_of_producing_and_draining_loses_and_repeats_nothing(steps):
    producer = Producer()
    ring = Ring(producer.fd, RING_BYTES, RECORD)
    expected, found, open_records = [], [], []
    for number, step in enumerate(steps):
        if step == "drain":
            found += drained(ring)
        elif step == "commit" and open_records:
            producer.commit(open_records.pop())
        elif step != "commit" and producer.room():
            at = producer.reserve(number)
            if step == "reserve":
                open_records.append(at)
            else:
                producer.commit(at)
            expected.append(number)
    for at in open_records:
        producer.commit(at)
    found += drained(ring)
    producer.close()
    assert found == expected
