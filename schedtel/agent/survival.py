"""The calling thread in; the same thread, which no arm keeps from a CPU, out, and as it was before in the end.

An arm may put threads into real time, and a sched_ext scheduler may starve whom it likes. So the thread of the loop
asks for SCHED_FIFO, just above the arms' priorities and below the process that undoes them. What it forks or starts is
not in real time (SCHED_RESET_ON_FORK). Its memory is locked as far as it is in use, so that it never waits for a disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

#: include/uapi/asm-generic/mman.h.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
#: Where no arm is real-time: above all threads that are not.
_LEAST = 1


@contextlib.contextmanager
def preferred(above: int) -> Iterator[str]:
    """Inside the context, the calling thread is scheduled before others.

    :param above: the highest real-time priority of an arm; 0 if none has one.

    Yields what this user may not have, in words; an empty text if nothing was refused.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    libc = ctypes.CDLL(None, use_errno=True)
    refused = []
    try:
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
            refused.append("its memory is not locked")
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(max(_LEAST, above + 1)))
        except OSError:
            refused.append("it has no real-time priority")
        yield " and ".join(refused)
    finally:
        libc.munlockall()
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)
