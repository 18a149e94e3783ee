"""Records on their way from the ring, or from a full page, to their window."""

import numpy as np

from schedtel.records.buffer import RecordBuffer

RECORD = np.dtype([("window", "<u4"), ("number", "<u4")])


def records(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(list(pairs), RECORD)


def numbers(taken: np.ndarray) -> list[int]:
    return taken["number"].tolist()


def test_a_window_takes_its_own_records_and_later_ones_stay():
    rows = RecordBuffer(RECORD)
    assert rows.append(records((1, 10), (2, 20), (1, 11))) == 3
    assert rows.append(records((3, 30), (2, 21))) == 2
    assert len(rows) == 5
    assert numbers(rows.take(1)) == [10, 11]
    assert len(rows) == 3
    assert numbers(rows.take(2)) == [20, 21]
    assert numbers(rows.take(3)) == [30]
    assert numbers(rows.take(4)) == []


def test_records_of_a_window_that_has_passed_go():
    rows = RecordBuffer(RECORD)
    rows.append(records((1, 10), (2, 20)))
    assert numbers(rows.take(2)) == [20]
    assert numbers(rows.take(1)) == []


def test_a_crowd_gets_the_room_it_needs_and_gives_it_back():
    rows = RecordBuffer(RECORD)
    crowd = np.zeros(50_000, RECORD)
    crowd["window"], crowd["number"] = 1, np.arange(50_000)
    for part in np.array_split(crowd, 7):
        rows.append(part)
    assert numbers(rows.take(1)) == list(range(50_000))
    largest = rows._memory.nbytes
    for window in range(2, 12):
        rows.append(records((window, window)))
        assert numbers(rows.take(window)) == [window]
    assert rows._memory.nbytes < largest / 30


def test_the_same_memory_serves_window_after_window():
    rows = RecordBuffer(RECORD)
    rows.append(records((1, 10)))
    first = rows.take(1)
    rows.append(records((2, 20)))
    assert np.shares_memory(first, rows.take(2))
