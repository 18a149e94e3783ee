"""A command to trace. It is forked at once, so that its pid can be the filter, and runs once tracing has begun."""

import ctypes
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from schedtel.errors import UsageError
from schedtel.foreign_text import Printable

_CANNOT_RUN = 127
_MOMENT_S = 0.001
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
#: prctl(2), include/uapi/linux/prctl.h.
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


class TracedCommand:
    """A child process that waits for :meth:`start` before it executes the command.

    :param own_session: whether it has a session of its own, so that a Ctrl-C of the terminal does not reach it.
    """

    def __init__(self, arguments: tuple[str, ...], *, own_session: bool = False) -> None:
        program = shutil.which(arguments[0])
        if program is None:
            raise UsageError(f"cannot run {arguments[0]}: no such command (check the name and PATH)")
        gate_read, self._gate = os.pipe()
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            if own_session:
                os.setsid()
            self._become(program, arguments, gate_read)
        os.close(gate_read)
        while own_session and os.getsid(self.pid) != self.pid:  # the child is about to
            time.sleep(_MOMENT_S)

    def _become(self, program: str, arguments: tuple[str, ...], gate_read: int) -> None:
        """Runs in the child: waits for the gate, then executes the program. Never returns."""
        try:
            os.close(self._gate)
            if os.read(gate_read, 1):
                _drop_ambient_capabilities()
                for number in _IGNORED_BY_PYTHON:  # an exec would hand that on
                    signal.signal(number, signal.SIG_DFL)
                os.execv(program, arguments)
        except OSError as error:
            os.write(2, (Printable(f"schedtel: cannot run {program}: {error.strerror}") + "\n").encode())
        finally:
            os._exit(_CANNOT_RUN)

    def start(self, when_done: Callable[[], None]) -> None:
        """Let the command run. Another thread calls ``when_done`` once it has ended."""
        os.write(self._gate, b"g")
        os.close(self._gate)
        self._gate = -1
        self._waiter = threading.Thread(target=self._wait, args=(when_done,), daemon=True)
        self._waiter.start()

    def _wait(self, when_done: Callable[[], None]) -> None:
        self._reap()
        when_done()

    def _reap(self) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.status = code if code >= 0 else 128 - code

    def join(self) -> int:
        """Wait for the end of the command. Returns its exit status, or 128 + the number of the signal that ended it."""
        self._waiter.join()
        assert self.status is not None
        return self.status

    def signal(self, number: int) -> None:
        """Send a signal to the command if it still runs."""
        if self.status is None:
            with suppress(ProcessLookupError):  # it has ended, and the waiter is about to say so
                os.kill(self.pid, number)

    def close(self) -> None:
        """End a child that was never started, because tracing could not begin or the output could not be opened."""
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
            self._reap()


def _drop_ambient_capabilities() -> None:
    """Keep for ourselves the capabilities that were given to trace with: an exec would hand ambient ones on.

    A kernel without them (before 4.3) refuses, and has none to hand on.
    """
    ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
