"""Memory of tables: it is lent again only when no array refers to it any more."""

import platform
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from schedtel.records import layout
from schedtel.windows import tables
from schedtel.windows.memory import Memory


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def batch(number: int, count: int, memory: Memory) -> pa.RecordBatch:
    """A table whose figures tell its window and each of its tasks."""
    records = np.zeros(count, layout.TASK_RECORD)
    records["tid"], records["comm"], records["bank"]["time_ns"] = 1 + np.arange(count), f"of {number}".encode(), number
    records["bank"]["wait_histogram"] = number
    return tables.tasks_batch(number, records, np.zeros(1, layout.FOLDED), {0: "/"}.get, memory=memory)


def figures(found: pa.RecordBatch) -> set[tuple[int, int, int]]:
    histograms = tables.histograms(found, "wait_histogram")
    return {
        (number, cpu, int(count))
        for number, cpu, counts in zip(
            found["window_id"].to_pylist(), found["cpu_ns"].to_pylist(), histograms, strict=True
        )
        for count in counts
    }


def test_what_nobody_holds_is_lent_again():
    memory = Memory()
    first = memory.empty((3, 1000), np.int64)
    where = address(first)
    del first
    assert address(memory.empty((3, 1001), np.int64)) == where


@pytest.mark.parametrize(
    "kept",
    [
        lambda array: array[2, 5:9],
        lambda array: array.reshape(-1).view(np.uint8)[7:],
        pa.py_buffer,
        lambda array: pa.Array.from_buffers(pa.int64(), 1000, [None, pa.py_buffer(array[1])]).slice(999),
        lambda array: pl.from_arrow(pa.Array.from_buffers(pa.int64(), 1000, [None, pa.py_buffer(array[1])])),
        lambda array: memoryview(array)[1:],
    ],
    ids=["a view", "a view of a view", "a buffer", "a slice of an Arrow array", "an Arrow array of polars", "memory"],
)
def test_what_somebody_still_sees_is_not_lent(kept):
    memory = Memory()
    first = memory.empty((3, 1000), np.int64)
    where, held = address(first), kept(first)
    del first
    assert address(memory.empty((3, 1000), np.int64)) != where
    del held
    assert where in {address(array) for array in [memory.empty((3, 1000), np.int64) for _ in range(2)]}


def test_a_crowd_that_has_gone_leaves_its_memory_to_others():
    memory = Memory()
    where = address(memory.empty((1_000_000,), np.int64))
    few = [memory.empty((100,), np.int64) for _ in range(3)]
    assert where not in {address(array) for array in few}
    assert memory._free == []


def test_windows_that_go_together_leave_no_more_than_two_need():
    memory = Memory()
    many = [memory.empty((100_000,), np.int64) for _ in range(20)]
    where = {address(array) for array in many}
    many.clear()
    again = [memory.empty((100_000,), np.int64) for _ in range(20)]
    assert len(memory._free) == 0
    assert len(where & {address(array) for array in again[:4]}) == 4


@given(st.lists(st.tuples(st.integers(1, 400), st.sets(st.integers(0, 7))), min_size=1, max_size=12))
def test_a_window_stays_what_it_was_whatever_windows_follow(history):
    """Windows of so many tasks each; before each next one, the test forgets those at some places."""
    memory, kept = Memory(), []
    for number, (count, forgotten) in enumerate(history, 1):
        kept = [window for place, window in enumerate(kept) if place not in forgotten]
        kept.append((number, batch(number, count, memory)))
        assert all(figures(found) == {(n, n, n)} for n, found in kept)


def test_windows_built_in_lent_memory_are_those_built_in_their_own(library):
    memory = Memory()
    for number, raw in enumerate(samples.raw_windows(library), 1):
        lent = samples.built.build(raw, number, 1, 0, samples.HOST, samples.CGROUPS, memory=memory)
        assert lent.tasks.equals(samples.built.build(raw, number, 1, 0, samples.HOST, samples.CGROUPS).tasks)


_CROWD = """
import sys
from schedtel.host.counters import resident_bytes
from schedtel.cli.heap import give_back_what_is_freed

if sys.argv[1] == "told":
    give_back_what_is_freed()
bytearray(b"x") * (16 << 20)  # freed at once: what glibc learns from
before = resident_bytes()
crowd = [bytearray(b"x") * (2 << 20) for _ in range(10)]
del crowd[:-1]
print((resident_bytes() - before) / 1e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's heap")
def test_what_a_crowd_has_used_goes_back_to_the_system():
    def left_mb(word: str) -> float:
        return float(subprocess.check_output([sys.executable, "-c", _CROWD, word], timeout=60))

    assert left_mb("told") < 5, "one block of 2 MB is still in use"
    assert left_mb("not told") > 15, "otherwise the test shows nothing"
