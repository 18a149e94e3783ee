"""Settings of this process's heap for commands that run for long."""

import ctypes
import gc

#: From malloc.h of glibc.
_M_MMAP_THRESHOLD = -3
#: A window of some hundred tasks allocates smaller blocks, so such a window never pays for fresh pages.
_LARGE_BYTES = 1 << 20


def give_back_what_is_freed() -> None:
    """Make glibc return large freed blocks to the system, in the whole process.

    By default, glibc raises its mmap threshold to the largest block freed so far and keeps blocks below it: 10,000
    tasks that appear once leave 25 MB in the process for good. Only commands call this; a program that imports the
    library sets up its own heap.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def end_quickly() -> None:
    """Have the interpreter not search all objects for cycles once more when it ends: beside pyarrow, that takes longer
    than to write a recording's last part. Objects in cycles are not finalized then, so close all before.
    """
    gc.freeze()
