"""Descriptors 0, 1 and 2 as the caller left them in; three open streams out.

A closed descriptor would go to the next file that is opened: a recording, or a map of the kernel side, would get what
is meant for stderr.
"""

import os
import sys

#: Descriptor → how /dev/null stands in for it. Input cannot be read and output cannot be written, so a command that
#: needs one of them says so. Messages are dropped.
_STAND_IN = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}


def open_closed_streams() -> None:
    """Open what is closed of stdin, stdout and stderr, for this process and for those that it starts."""
    for number, flags in _STAND_IN.items():
        try:
            os.fstat(number)
        except OSError:
            stand_in = os.open(os.devnull, flags)  # the lowest free descriptor, so this one
            os.set_inheritable(stand_in, True)
    # Python has no object for a stream that is closed at its start.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  (they stay open until the end)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
