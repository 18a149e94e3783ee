"""A journal in; a process that puts back what the journal tells once the process that wrote it has gone, out.

Nothing in a process survives SIGKILL. So another process is started before anything is changed. It waits for the end of
the first, knows the journal's path, and has a session and a real-time priority of its own: a Ctrl-C does not reach it,
and a thread that an arm made real-time does not keep it from a CPU.
"""

import contextlib
import os
import subprocess
import sys

from schedtel.errors import CapabilityError
from schedtel.schedulers.journal import Journal

#: What the guard writes once it is waiting.
READY = b"r"
_PATIENCE_S = 60


class Guard:
    """A guard of a journal, which is waiting when the constructor returns.

    Raises :class:`CapabilityError` if it cannot be started.
    """

    def __init__(self, journal: Journal) -> None:
        reading, self._writing = os.pipe()
        this_process = os.pidfd_open(os.getpid())
        try:
            self._process = _start(reading, this_process, journal)
        finally:
            os.close(reading)
            os.close(this_process)
        assert self._process.stdout
        if self._process.stdout.read(1) != READY:
            self.close()
            raise CapabilityError("cannot change how threads are scheduled: the guard that would undo it did not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it still guards."""
        return self._process.poll() is None

    def close(self) -> None:
        """Have it end, and wait for that. It puts back what the journal still tells, and removes the journal."""
        if self._writing >= 0:
            with contextlib.suppress(BrokenPipeError):  # it has ended
                os.write(self._writing, b"e")  # a child that holds this end as well does not keep it waiting
            os.close(self._writing)
            self._writing = -1
        try:
            self._process.wait(_PATIENCE_S)
        finally:
            if self._process.stdout:
                self._process.stdout.close()


def _start(reading: int, this_process: int, journal: Journal) -> subprocess.Popen[bytes]:
    numbers = (reading, this_process)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "schedtel.schedulers.guard_process", *map(str, numbers), str(journal.path)],
            pass_fds=numbers,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise CapabilityError(
            f"cannot start the guard that would undo changes: {error.strerror} (free some memory or processes)"
        ) from error
