"""A perf event and a CPU in; a file descriptor that counts the event there out, by perf_event_open(2)."""

import ctypes
import errno
import os
import platform
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.records.perf_events import HARDWARE, RAW, PerfEvent

#: The system call's number where it is not that of the generic table (include/uapi/asm-generic/unistd.h).
_NUMBERS = {"x86_64": 298, "ppc64le": 319, "s390x": 331}
_GENERIC_NUMBER = 241
_CLOSE_ON_EXEC = 8
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


class _Attributes(ctypes.Structure):
    """``struct perf_event_attr`` in its first size. All flags are 0: it counts at once, in kernel and user space."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
    )


def open_event(event: PerfEvent, cpu: int) -> int:
    """Begin to count an event of all that runs on a CPU; the caller closes the file descriptor.

    Raises :class:`OSError` as perf_event_open(2) does.
    """
    attributes = _Attributes(type=event.kind, size=ctypes.sizeof(_Attributes), config=event.config)
    library = ctypes.CDLL(None, use_errno=True)
    number = _NUMBERS.get(platform.machine(), _GENERIC_NUMBER)
    fd = library.syscall(
        ctypes.c_long(number),
        ctypes.byref(attributes),
        ctypes.c_long(-1),
        ctypes.c_long(cpu),
        ctypes.c_long(-1),
        ctypes.c_ulong(_CLOSE_ON_EXEC),
    )
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(fd)


def refusal(event: PerfEvent, error: OSError) -> CapabilityError:
    """Why an event cannot be counted, and what to do."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        cause = f"this user may not (kernel.perf_event_paranoid is {_paranoid()})"
        return CapabilityError(
            f"cannot count {event.name}: {cause}, or a sandbox forbids it "
            "(run as root, or with CAP_PERFMON and perf_event_open(2) allowed)"
        )
    if event.kind in {HARDWARE, RAW} and error.errno != errno.EMFILE:
        return CapabilityError(
            f"cannot count {event.name}: this machine has no hardware counter for it, as most virtual machines have "
            "none (count a software event, such as page-faults or context-switches, or use a machine with a PMU)"
        )
    return CapabilityError(f"cannot count {event.name}: {os.strerror(error.errno or 0)} (run `schedtel doctor`)")


def _paranoid() -> str:
    try:
        return _PARANOID.read_text().strip()
    except OSError:
        return "not known"
