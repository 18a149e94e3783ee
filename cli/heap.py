"""The heap of this process, for commands that run for long."""

import ctypes

#: malloc.h
_M_MMAP_THRESHOLD = -3
#: More than a window of some hundred tasks asks for at once: these never pay for fresh memory.
_LARGE_BYTES = 1 << 20


def give_back_what_is_freed() -> None:
    """Have glibc return the memory of a crowd that has gone to the system, in this whole process.

    By itself, it learns from the largest block that was ever freed not to: 10,000 tasks that come once leave 25 MB
    behind for good. For commands; who imports the library has a heap of his own to look after.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
