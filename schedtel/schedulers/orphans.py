"""Processes whose parent has ended in; this process their new parent, out.

A process that is orphaned goes to the nearest ancestor that is a subreaper (prctl(2)), else to init, where nothing
tells that it came from a tree. Its new parent has to wait for it.
"""

import ctypes
import os
from collections.abc import Collection
from contextlib import suppress

from schedtel.schedulers.threads import Look, read_thread

#: include/uapi/linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(*, adopt: bool = True) -> None:
    """Make this process a subreaper, or no longer one."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def bury_orphans(others: Collection[int]) -> None:
    """Wait for the adopted children that are over.

    :param others: the children of this process that something else waits for.
    """
    for pid in set(Look().children(os.getpid())).difference(others):
        child = read_thread(pid, pid)
        if child and child.is_over:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
