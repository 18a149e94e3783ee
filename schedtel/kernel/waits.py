"""Banks of CPUs, and waits that go on, in; the longest waits of a window, with the tasks that had the CPU, out."""

import numpy as np

from schedtel.records import layout


def ended_waits(cpus: np.ndarray) -> np.ndarray:
    """The longest waits that ended on each CPU: shape (WAIT_KINDS, n) of ``layout.WAIT``. An entry of 0 ns is none.

    :param cpus: shape (k,) of ``layout.CPU_BANK``.
    """
    return np.moveaxis(cpus["waits"]["kept"], 1, 0).reshape(layout.WAIT_KINDS, -1)


def behind_occupants(waits: np.ndarray, states: np.ndarray, window: int) -> np.ndarray:
    """Waits that go on, with the task that had their CPU at the window's end, where that is known.

    A CPU without an event since the end is still what it was then: if it is idle, no task had it.

    :param waits: shape (WAIT_KINDS, n) of ``layout.WAIT``.
    :param states: shape (k,) of ``layout.CPU_STATE``, one for each possible CPU.
    """
    told = waits.copy()
    for at in zip(*np.nonzero((waits["wait_ns"] > 0) & (waits["cpu"] < len(states))), strict=True):
        state = states[waits["cpu"][at]]
        occupant = state["occupant"]
        if occupant["window"] == window:
            told["behind_tid"][at], told["behind_comm"][at] = occupant["tid"], occupant["comm"]
        elif state["window"] <= window and state["seqcount"]["phase"] == layout.CPU_IDLE:
            told["behind_tid"][at] = 0
    return told
