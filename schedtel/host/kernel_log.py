"""The kernel's log in, /dev/kmsg; the lines that the kernel itself wrote there since a moment, out.

Whoever may write to /dev/kmsg may write any text. The kernel marks such a line with another facility than its own
(devkmsg_write() of kernel/printk/printk.c), so it is told apart, and left out.
"""

import os
from pathlib import Path

from schedtel.closing import Closing
from schedtel.foreign_text import text_of

KMSG = Path("/dev/kmsg")
#: Longer than any record: PRINTKRB_RECORD_MAX of kernel/printk/internal.h, and its head.
_MOST_BYTES = 16384
#: Of a record's number: the facility is above it (include/linux/kern_levels.h), and 0 is the kernel's.
_LEVEL_BITS = 3


class KernelLog(Closing):
    """What is logged from now on. A user who may not read the log, and a container without one, finds nothing."""

    def __init__(self, path: Path = KMSG) -> None:
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self.close()

    def lines(self) -> list[str]:
        """The kernel's lines since the last call. What was overwritten before it was read is missing."""
        records: list[bytes] = []
        while self._descriptor >= 0:
            try:
                records.append(os.read(self._descriptor, _MOST_BYTES))
            except BrokenPipeError:  # overwritten: the next call reads the oldest record that is there
                continue
            except OSError:  # EAGAIN: there is no more
                break
        return own_lines(records)

    def close(self) -> None:
        """Read no more. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def own_lines(records: list[bytes]) -> list[str]:
    """The texts of those records that the kernel wrote. A record is ``level,number,time,flags;text`` and a newline."""
    found = []
    for record in records:
        head, _, rest = record.partition(b";")
        number = head.partition(b",")[0]
        if number.isdigit() and int(number) >> _LEVEL_BITS == 0:
            found.append(text_of(rest.partition(b"\n")[0]))
    return found
