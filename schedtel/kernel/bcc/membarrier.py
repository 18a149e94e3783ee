"""A barrier for a reader of pages that BPF programs write: all CPUs' stores up to now become visible.

The programs of the bcc backend have no instruction for a memory barrier. So where a machine reorders stores, the reader
pays: MEMBARRIER_CMD_GLOBAL returns after every CPU has passed a point at which no program was running on it
(synchronize_rcu(), kernel/sched/membarrier.c), some milliseconds later. x86 keeps stores in order, and pays nothing.
"""

import ctypes
import platform

_STRONG = ("x86_64", "i686")
#: System call numbers; the generic one is that of all younger architectures.
_NUMBERS = {"armv7l": 389, "armv8l": 389, "ppc64le": 365, "ppc64": 365, "s390x": 356}
_GENERIC = 283
_CMD_GLOBAL = 1


def order() -> None:
    """Order what was read before against what is read after, and against the programs' stores."""
    machine = platform.machine()
    if machine not in _STRONG:
        ctypes.CDLL(None).syscall(_NUMBERS.get(machine, _GENERIC), _CMD_GLOBAL, 0, 0)
