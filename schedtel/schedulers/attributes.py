"""sched_getattr(2) and sched_setattr(2): a thread's policy, nice value, priority and slice, in and out.

The slice is ``sched_runtime`` of a fair thread. Linux takes it since 6.12 (857b158dc5e8, "sched/eevdf: Use
sched_attr::sched_runtime to set request/slice suggestion"); older kernels ignore it, and report 0.
"""

import ctypes
import dataclasses
import errno
import os
import platform
import struct
from dataclasses import dataclass

from schedtel.errors import CapabilityError
from schedtel.schedulers.settings import Setting

#: include/uapi/linux/sched.h. EXT is that of threads which ask for sched_ext.
OTHER, FIFO, RR, BATCH, IDLE, DEADLINE, EXT = 0, 1, 2, 3, 5, 6, 7
_NAMES = {OTHER: "other", FIFO: "fifo", RR: "rr", BATCH: "batch", IDLE: "idle", DEADLINE: "deadline", EXT: "ext"}
_RESET_ON_FORK = 1
#: struct sched_attr as of SCHED_ATTR_SIZE_VER0: without utilisation clamps, which so stay as they are.
_LAYOUT = struct.Struct("=IIQiIQQQ")
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Attributes:
    """How a thread is scheduled. ``slice_ns`` 0 is the kernel's own slice, or that of a thread that has none."""

    policy: int = OTHER
    nice: int = 0
    priority: int = 0
    slice_ns: int = 0
    reset_on_fork: bool = False

    def __str__(self) -> str:
        words = [_NAMES.get(self.policy, f"policy {self.policy}")]
        words += [f"priority {self.priority}"] if self.priority else []
        words += [f"nice {self.nice}"] if self.nice else []
        words += [f"slice {self.slice_ns / 1e6:g} ms"] if self.slice_ns else []
        return ", ".join(words)


def get(tid: int) -> Attributes | None:
    """The attributes of a thread, 0 being the calling one; None if there is no such thread.

    Raises :class:`OSError` if the kernel refuses.
    """
    buffer = ctypes.create_string_buffer(_LAYOUT.size)
    if not _call(1, tid, buffer, _LAYOUT.size, 0):
        return None
    _, policy, flags, nice, priority, runtime, _, _ = _LAYOUT.unpack(buffer.raw)
    return Attributes(policy, nice, priority, 0 if policy == DEADLINE else runtime, bool(flags & _RESET_ON_FORK))


def put(tid: int, wanted: Attributes) -> bool:
    """Set the attributes of a thread; returns whether there is such a thread.

    Raises :class:`OSError` if the kernel refuses: EPERM without the privilege, EINVAL for values it does not take.
    """
    flags = _RESET_ON_FORK if wanted.reset_on_fork else 0
    fields = (wanted.policy, flags, wanted.nice, wanted.priority, wanted.slice_ns, 0, 0)
    return _call(0, tid, _LAYOUT.pack(_LAYOUT.size, *fields), 0)


def wanted(setting: Setting, now: Attributes) -> Attributes | None:
    """What a setting makes of attributes; None if it leaves them as they are.

    Real-time and deadline threads are left alone: they got that for a reason. So is the nice value and the slice of a
    thread in SCHED_IDLE, which the kernel does not take there.
    """
    if now.policy in (FIFO, RR, DEADLINE):
        return None
    policy = {"batch": BATCH, "idle": IDLE, "other": OTHER}.get(setting.word)
    if policy is not None:
        return dataclasses.replace(now, policy=policy)
    if setting.word == "rr":
        return Attributes(RR, 0, setting.values[0], 0, now.reset_on_fork)
    if now.policy == IDLE:
        return None
    if setting.word == "nice":
        return dataclasses.replace(now, nice=setting.values[0])
    return dataclasses.replace(now, slice_ns=setting.values[0])


def _call(which: int, tid: int, *arguments: object) -> bool:
    """Returns whether the call succeeded; false if there is no such thread."""
    if _libc.syscall(_number(which), tid, *arguments) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.ESRCH:
        return False
    raise OSError(number, os.strerror(number))


def _number(which: int) -> int:
    machine = platform.machine()
    if machine not in _CALLS:
        raise CapabilityError(
            f"cannot set how threads are scheduled: the system calls of {machine} are not known here "
            f"(use one of {', '.join(_CALLS)})"
        )
    return _CALLS[machine][which]
