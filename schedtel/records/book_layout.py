"""The record of ``bpf/events/book_records.h`` as a dtype: bytes of a CPU's ring of books in; arrays of fields out."""

import numpy as np

from schedtel.records.event_layout import EVENT_CONTRACT, TIME_AT

LEAVES, COMES, WAKES, MIGRATES, QUEUED, LOST = range(1, 7)
ON_RQ, DELAYED, CURRENT, VPROT, BUDDY = 1, 2, 4, 8, 16

BOOK = np.dtype(
    [
        ("time_role", "<u8"),
        ("entity", "<u8"),
        ("parent", "<u8"),
        ("queue", "<u8"),
        ("vruntime", "<u8"),
        ("deadline", "<u8"),
        ("lag", "<u8"),
        ("slice", "<u8"),
        ("weight", "<u8"),
        ("tid", "<u4"),
        ("queued", "<u2"),
        ("level", "u1"),
        ("flags", "u1"),
    ]
)

#: C struct name → the dtype that must match it.
BOOK_CONTRACT = EVENT_CONTRACT | {"book": BOOK}


def times(books: np.ndarray) -> np.ndarray:
    """When their events happened, in nanoseconds of CLOCK_MONOTONIC; int64."""
    return (books["time_role"] >> np.uint64(TIME_AT)).view(np.int64)


def roles(books: np.ndarray) -> np.ndarray:
    """Which of LEAVES, COMES, WAKES, MIGRATES, QUEUED and LOST each is; uint8."""
    return (books["time_role"] & np.uint64((1 << TIME_AT) - 1)).astype(np.uint8)
