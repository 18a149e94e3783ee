"""The process of a guard: the end of another process in; what that one had changed put back, out. See ``guard``."""

import contextlib
import os
import select
import signal
import sys
from pathlib import Path

from schedtel.schedulers import guard
from schedtel.schedulers.changes import undo
from schedtel.schedulers.journal import read_journal, remove

#: Above that of any thread that an arm makes real-time.
_PRIORITY = 99


def main() -> None:
    """Wait until the pipe is closed or the guarded process has ended, undo what the journal tells, and remove it.

    The pipe alone would not do: a child that the process has forked without an exec holds its other end as well.
    """
    pipe, process = map(int, sys.argv[1:3])
    path = Path(sys.argv[3]).absolute()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with the process that it guards
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    _prefer_this_process()
    sys.stdout.buffer.write(guard.READY)
    sys.stdout.close()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(process, select.POLLIN)
    poll.poll()
    with contextlib.suppress(FileNotFoundError), path.open("rb") as journal:
        undo(read_journal(journal.fileno()))
    remove(path)


def _prefer_this_process() -> None:
    """Have a CPU at once when it is needed: as a real-time thread, on any CPU, where this user may."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))


if __name__ == "__main__":
    main()
