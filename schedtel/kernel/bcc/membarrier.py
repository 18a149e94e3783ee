"""A barrier for a reader of pages that BPF programs write: the stores of all CPUs up to now become visible.

The programs of the bcc backend have no instruction for a memory barrier. So where a machine reorders stores, the reader
needs one: MEMBARRIER_CMD_GLOBAL returns, some milliseconds later, after every CPU has passed a point at which no
program was running on it (synchronize_rcu(), kernel/sched/membarrier.c). x86 keeps stores in order and needs none.
"""

import ctypes
import platform

#: Machines that keep stores in order.
_STRONG = ("x86_64", "i686")
#: System call numbers; all newer architectures share the generic one.
_NUMBERS = {"armv7l": 389, "armv8l": 389, "ppc64le": 365, "ppc64": 365, "s390x": 356}
_GENERIC = 283
_CMD_GLOBAL = 1


def order() -> None:
    """Order the reads before this call against those after it, and against the programs' stores."""
    machine = platform.machine()
    if machine not in _STRONG:
        ctypes.CDLL(None).syscall(_NUMBERS.get(machine, _GENERIC), _CMD_GLOBAL, 0, 0)
