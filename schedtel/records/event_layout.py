"""The records of ``bpf/events/event_records.h`` as numpy dtypes: bytes of a CPU's ring in; arrays of fields out."""

import numpy as np

from schedtel.records.layout import SETTINGS

SWITCH, WAKEUP, WAKEUP_NEW, MIGRATE, LOST = range(1, 6)
ALIVE, NEWTASK, EXEC, RENAME, EXIT = range(1, 6)

EVENT = np.dtype([("time_kind", "<u8"), ("body", "<u8")])
EVENT_RING = np.dtype(
    [
        ("head", "<u8"),
        ("lost", "<u8"),
        ("fence", "<u8"),
        ("first", "<u4"),
        ("size", "<u4"),
        ("follows", "u1"),
        ("reserved", "u1", (31,)),
        ("tail", "<u8"),
        ("padding", "<u8", (7,)),
    ]
)
LIFE_EVENT = np.dtype(
    [
        ("time_ns", "<u8"),
        ("start_boottime_ns", "<u8"),
        ("tid", "<u4"),
        ("tgid", "<u4"),
        ("other", "<u4"),
        ("exit_code", "<i4"),
        ("prio", "<i4"),
        ("kind", "u1"),
        ("kernel_thread", "u1"),
        ("cpu", "<u2"),
        ("comm", "S16"),
    ]
)
EVENT_TOTALS = np.dtype([("lives_lost", "<u8")])

#: C struct name → the dtype that must match it.
EVENT_CONTRACT = {
    "event": EVENT,
    "event_ring": EVENT_RING,
    "life_event": LIFE_EVENT,
    "event_totals": EVENT_TOTALS,
    "settings": SETTINGS,
}

#: Where a time begins in its word: below it is what happened.
TIME_AT = 4
#: States of the task that leaves, by the highest bit that is set, as perf's and ftrace's letters; then preempted.
STATES = ("R", "S", "D", "T", "t", "X", "Z", "P", "I", "R+")
#: Of each of them, the tracepoint's prev_state.
STATE_BITS = np.array([0, *(1 << bit for bit in range(len(STATES) - 1))], np.int64)
_TID_BITS, _PRIO_AT, _PREV_AT, _STATE_AT, _FOLLOWED_AT, _UNSEEN_AT = 22, 22, 30, 52, 61, 62
_CPU_AT, _TO_CPU_AT = 30, 46
#: Of each of the 512 values of a state, the place in ``STATES``.
_STATE_PLACES = np.array([value.bit_length() for value in range(512)], np.int8)


def times(events: np.ndarray) -> np.ndarray:
    """When they happened, in nanoseconds of CLOCK_MONOTONIC; int64."""
    return (events["time_kind"] >> np.uint64(TIME_AT)).view(np.int64)


def kinds(events: np.ndarray) -> np.ndarray:
    """Which of SWITCH, WAKEUP, WAKEUP_NEW, MIGRATE and LOST each is; uint8."""
    return (events["time_kind"] & np.uint64((1 << TIME_AT) - 1)).astype(np.uint8)


def _field(events: np.ndarray, at: int, bits: int) -> np.ndarray:
    return events["body"] >> np.uint64(at) & np.uint64((1 << bits) - 1)


def tids(events: np.ndarray) -> np.ndarray:
    """The tasks that the events are of; of a switch, the one that comes in. int32."""
    return _field(events, 0, _TID_BITS).astype(np.int32)


def prios(events: np.ndarray) -> np.ndarray:
    """The kernel's priorities of these tasks, from -1 (deadline) to 140; int16."""
    stored = _field(events, _PRIO_AT, 8).astype(np.int16)
    stored[stored == 255] = -1
    return stored


def previous_tids(switches: np.ndarray) -> np.ndarray:
    """The tasks that leave; int32."""
    return _field(switches, _PREV_AT, _TID_BITS).astype(np.int32)


def states(switches: np.ndarray) -> np.ndarray:
    """The states that they are left in, as places in ``STATES``; int8."""
    return _STATE_PLACES[_field(switches, _STATE_AT, 9).astype(np.intp)]


def followed(switches: np.ndarray) -> np.ndarray:
    """Whether the filter selects the task that comes in; booleans."""
    return _field(switches, _FOLLOWED_AT, 1).astype(bool)


def unseen(switches: np.ndarray) -> np.ndarray:
    """Whether the filter selects the task that leaves, but it did not when that task came in, or nobody saw it come."""
    return _field(switches, _UNSEEN_AT, 1).astype(bool)


def cpus(events: np.ndarray) -> np.ndarray:
    """Of wakeups, the CPU on whose queue the task is; of migrations, the one that it leaves. uint16."""
    return _field(events, _CPU_AT, 16).astype(np.uint16)


def destinations(migrations: np.ndarray) -> np.ndarray:
    """The CPUs that tasks go to; uint16."""
    return _field(migrations, _TO_CPU_AT, 16).astype(np.uint16)
