"""The threads of this process in; the same threads, which no arm keeps from a CPU, out, and as they were in the end.

An arm may put threads into real time, and a sched_ext scheduler may starve whom it likes. So the loop asks for
SCHED_FIFO, just above the arms' priorities and below the process that undoes them. So do the threads of libraries that
the loop may wait for, and that have to end before the kernel says that a killed agent has ended. What a thread starts
is not in real time (SCHED_RESET_ON_FORK): a new thread of this process is, from the next window on. Memory is locked as
far as it is in use, so that the loop never waits for a disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

#: include/uapi/asm-generic/mman.h.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
#: Where no arm is real-time: above all threads that are not.
_LEAST = 1
_Item = TypeVar("_Item")


class Preferred:
    """Inside the context, this process is scheduled before others, as far as this user may have that.

    :param above: the highest real-time priority of an arm; 0 if none has one.
    """

    def __init__(self, above: int) -> None:
        self._priority = os.sched_param(max(_LEAST, above + 1))
        self._before: dict[int, tuple[int, os.sched_param]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._is_locked = self._has_priority = True

    @property
    def refused(self) -> str:
        """What this user may not have, in words; an empty text if nothing was refused."""
        memory, priority = "its memory is not locked", "it has no real-time priority"
        return " and ".join([memory] * (not self._is_locked) + [priority] * (not self._has_priority))

    def __enter__(self) -> Self:
        self._is_locked = self._libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0
        self.renew()
        return self

    def renew(self) -> None:
        """Prefer the threads that were started since."""
        for tid in _threads():
            if tid not in self._before:
                try:
                    before = os.sched_getscheduler(tid), os.sched_getparam(tid)
                    os.sched_setscheduler(tid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, self._priority)
                except ProcessLookupError:
                    continue
                except OSError:
                    self._has_priority = False
                    return
                self._before[tid] = before

    def renewing(self, source: Iterable[_Item]) -> Iterator[_Item]:
        """What the source has; new threads are preferred before each."""
        for item in source:
            self.renew()
            yield item

    def __exit__(self, *_: object) -> None:
        self._libc.munlockall()
        for tid in self._before.keys() & _threads():
            with contextlib.suppress(OSError):  # it has ended
                os.sched_setscheduler(tid, *self._before[tid])


def _threads() -> set[int]:
    return set(map(int, os.listdir("/proc/self/task")))
