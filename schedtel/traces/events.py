"""The events of a trace in the layout of bpf/replay.c: a numpy dtype, and the numbers of kinds and states."""

from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    """``enum kind`` of bpf/replay.c."""

    SWITCH = 0
    WAKEUP = 1
    ARRIVAL = 2
    FORK = 3
    NEWTASK = 4
    EXIT = 5
    EXEC = 6
    LOST = 7
    #: sched_waking; :mod:`schedtel.traces.order` turns these into wakeups or leaves them out.
    WAKING = 8


class PrevState(IntEnum):
    """``enum leaving_state`` of bpf/replay.c: the state that a task entered when it left its CPU."""

    RUNNING = 0
    BLOCKED = 1
    PREEMPTED = 2
    DEAD = 3
    PARKED_OR_DEAD = 4


#: The current task of an event whose line does not tell it: CURRENT_UNTOLD of bpf/replay.c.
UNTOLD = 2**32 - 1

#: ``struct event`` of bpf/replay.c.
EVENT = np.dtype(
    [
        ("time_ns", "<u8"),
        ("tid", "<u4"),
        ("other", "<u4"),
        ("prio", "<i4"),
        ("other_prio", "<i4"),
        ("current", "<u4"),
        ("tgid", "<u4"),
        ("argument", "<u4"),
        ("cpu", "<u2"),
        ("kind", "u1"),
        ("state", "u1"),
        ("comm", "S16"),
        ("other_comm", "S16"),
    ]
)


def lost(moment: np.ndarray, count: int) -> np.ndarray:
    """A LOST event of so many, at the time and CPU of this event; both of shape (1,)."""
    event = np.zeros(1, EVENT)
    event["time_ns"], event["cpu"] = moment["time_ns"], moment["cpu"]
    event["kind"], event["argument"] = Kind.LOST, min(count, 2**32 - 1)
    return event
