"""A child process in; its end when its parent ends, by whatever signal, out."""

import ctypes
import os
import signal

#: From include/uapi/linux/prctl.h.
_PR_SET_PDEATHSIG = 1
#: Loaded here: between fork and exec nothing may be loaded.
_libc = ctypes.CDLL(None)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends: the thread that forked it, where the parent has several.

    For a child after its fork, also between fork and exec. If ``parent`` has ended already, this process ends.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
