"""Orders of the holder of the lease in; a process for each, one at a time, and its run out.

All of it is started and ended by the thread that calls :meth:`Bench.run`, which sleeps in between: the kernel ends a
worker when the thread that started it ends.
"""

import contextlib
import logging
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from schedtel.access.scratch import scratch_directory
from schedtel.access.tokens import TOKEN_VARIABLE
from schedtel.errors import SchedtelError, UsageError
from schedtel.recordings.recording import Recording
from schedtel.schedulers.journal import put_back_forgotten
from schedtel.target import worker
from schedtel.target.lease import Lease

_log = logging.getLogger(__name__)
#: States of the cell that was asked for last.
IDLE, RUNNING, DONE, FAILED = "idle", "running", "done", "failed"
JOB = "job.json"
#: A worker that is told to end has so long before it is killed.
GRACE_S = 1.0
_PREFIX = "schedtel-target-"
_LARGEST_RUN, _MOST_SAID = 1 << 20, 4096
#: Above that of any thread that an arm makes real-time, so that what starves all others can be ended.
_PRIORITY = 99


@dataclass(frozen=True)
class Order:
    """What is to be run in a process of its own, in a directory of its own.

    :param key: what is run, in one word: it is told of the state.
    :param module: of Python; its arguments are this process's pid, and the name of a file in the directory.
    :param job: the text of that file.
    :param most_s: a process that takes longer than this hangs.
    :param channel: its input and its output, which is closed here once it has it; None: it has none.
    """

    key: str
    module: str
    job: str
    most_s: float
    channel: socket.socket | None = None


@dataclass
class State:
    """How far the last order is. ``run`` is the text of its run.json, ``recording`` its windows."""

    state: str = IDLE
    key: str = ""
    why: str = ""
    run: bytes = b""
    recording: Recording | None = field(default=None, repr=False)


class Bench:
    """Does what is ordered on a target.

    :param over: called once all that was done under a lease is undone, before another one is given.
    """

    def __init__(self, over: Callable[[], object] = lambda: None) -> None:
        self._over = over
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._bell)
        self._lock = threading.Lock()
        self._order: Order | None = None
        self._state = State()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd, self._until = -1, 0.0
        self._is_closing = False
        self.lease = Lease(self._ring)

    # ---- from any thread ----

    def ask(self, order: Order) -> None:
        """Have an order done. Raises :class:`UsageError` while another one is running."""
        with self._lock:
            if self._state.state == RUNNING:
                raise UsageError("cannot run a cell while another one is running (wait for its end)")
            self._order, self._state = order, State(RUNNING, order.key)
        self._ring()

    def state(self) -> State:
        """How far the last order is."""
        with self._lock:
            return self._state

    def stop(self) -> None:
        """Have :meth:`run` end. Safe in a signal handler."""
        self._is_closing = True
        self._ring()

    def _ring(self) -> None:
        os.eventfd_write(self._bell, 1)

    # ---- in the thread of run() ----

    def run(self) -> None:
        """Start and end what is asked for, until :meth:`stop`. Nothing of it runs on, or stays changed, afterwards."""
        _prefer_this_thread()
        with scratch_directory(Path(tempfile.gettempdir()), _PREFIX) as self._directory:
            try:
                while not self._is_closing:
                    self._sleep()
                    self._look()
            finally:
                self._give_up("the target ends")

    def _sleep(self) -> None:
        """Until something is asked for, the worker has ended, or the lease is over."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if self._pidfd >= 0:
            poll.register(self._pidfd, select.POLLIN)
        left_s = self.lease.left_s()
        if left_s is not None and self._process is not None:
            left_s = max(0.0, min(left_s, self._until - time.monotonic()))
        poll.poll(None if left_s is None else left_s * 1000 + 1)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)

    def _look(self) -> None:
        if self.lease.left_s() == 0:
            self._give_up("nothing was heard of the controller, or it has ended its session")
        with self._lock:
            order, self._order = self._order, None
        if order is not None and self.lease.left_s() is None:  # it was given back before this was seen
            self._say(State())
        elif order is not None:
            self._start(order)
        elif self._process is not None and self._process.poll() is not None:
            self._conclude(self._process.returncode)
        elif self._process is not None and time.monotonic() > self._until:
            key = self.state().key
            self._end_process(self._process, "it takes much longer than its plan")
            self._say(State(FAILED, key, "a run took much longer than its plan, and was ended (look at the target)"))

    def _start(self, order: Order) -> None:
        try:
            self._clear()
            (self._directory / JOB).write_text(order.job, encoding="utf-8")
            with order.channel or contextlib.nullcontext():
                self._process = self._begun(order)
            self._until = time.monotonic() + order.most_s
        except OSError as error:
            self._say(State(FAILED, order.key, f"cannot start a run: {error.strerror} (look at the target)"))

    def _begun(self, order: Order) -> "subprocess.Popen[bytes]":
        channel = order.channel.fileno() if order.channel else subprocess.DEVNULL
        command = [sys.executable, "-P", "-m", order.module, str(os.getpid()), JOB]
        environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        with open(self._directory / "stderr", "wb") as said:
            process = subprocess.Popen(
                command,
                cwd=self._directory,
                env=environment,
                stdin=channel,
                stdout=channel,
                stderr=said,
                start_new_session=True,
            )
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise
        return process

    def _conclude(self, status: int) -> None:
        self._forget_process()
        key = self.state().key
        if status:
            put_back_forgotten()
            self._say(State(FAILED, key, self._said(status)))
            return
        try:
            self._say(self._found(key))
        except (SchedtelError, OSError) as error:
            self._say(State(FAILED, key, str(error)))

    def _found(self, key: str) -> State:
        folder = self._directory / worker.STORE / "runs" / key
        with open(folder / "run.json", "rb") as file:
            run = file.read(_LARGEST_RUN)
        return State(DONE, key, "", run, Recording(folder / "windows"))

    def _said(self, status: int) -> str:
        """The last line of the worker's errors."""
        said = b""
        with contextlib.suppress(OSError), open(self._directory / "stderr", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_SAID))
            said = file.read()
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"cannot say why the run failed: its process ended with status {status}"

    def _give_up(self, why: str) -> None:
        """End what runs, wait until all is put back, and let another controller have the target."""
        if self._process is not None:
            self._end_process(self._process, why)
        with self._lock:
            self._order, self._state = None, State()
        with contextlib.suppress(OSError):  # the directory was removed
            self._clear()
        self._over()
        self.lease.free()

    def _end_process(self, process: "subprocess.Popen[bytes]", why: str) -> None:
        """End a worker, in order if it can, and with all that it has started and changed."""
        _log.info("the run is given up: %s", why)
        process.terminate()
        _wait(self._pidfd, GRACE_S)
        process.kill()
        process.wait()
        self._forget_process()
        put_back_forgotten()

    def _clear(self) -> None:
        for path in self._directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _forget_process(self) -> None:
        self._process = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pidfd = -1

    def _say(self, state: State) -> None:
        with self._lock:
            self._state = state


def _wait(pidfd: int, seconds: float) -> None:
    """Wait for the end of a process, and no longer than so many seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(seconds * 1000)


def _prefer_this_thread() -> None:
    """Have a CPU at once where this user may: this thread alone, and nothing that it starts."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
