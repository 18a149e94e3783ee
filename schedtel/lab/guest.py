"""What runs inside the guest as its first process: the job of ``/job.json`` in; frames on the second serial line out.

The job is there from the start, or comes when the guest goes on from a snapshot. It is a command, or a module whose
``main`` runs in a fork of this process, which has imported it already. It gets two pipes. Its output is passed on as it
comes; what it left in ``/out`` follows as a tar archive when it has ended, and then the guest powers off. Nothing is
sent to it after that, but to a shell.
"""

import ctypes
import gc
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import termios
import threading
import traceback
import tty
from collections.abc import Callable
from typing import Any, NoReturn

from schedtel.lab import guest_terminal
from schedtel.lab.frames import LONGEST, RESULTS, STATUS, STDERR, STDOUT, framed
from schedtel.lab.waiting_room import wait_for_job

JOB = "/job.json"
_LINE = "/dev/ttyS1"
#: What jobs need, imported before the snapshot is taken; what each imports late is among them.
_WARM = ("schedtel.lab.cell", "numpy.random", "pyarrow.compute", "pyarrow.parquet")
#: reboot(2): LINUX_REBOOT_CMD_POWER_OFF of include/uapi/linux/reboot.h.
_POWER_OFF = 0x4321FEDC
#: As a shell says it: the program is there and cannot be run, or it is not there.
_CANNOT_RUN, _NOT_FOUND = 126, 127


class _Line:
    """The serial line, for frames from several threads."""

    def __init__(self) -> None:
        self.descriptor = os.open(_LINE, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.descriptor)
        settings = termios.tcgetattr(self.descriptor)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(self.descriptor, termios.TCSANOW, settings)
        self._lock = threading.Lock()

    def send(self, kind: bytes, content: bytes) -> None:
        with self._lock:
            for frame in framed(kind, content):
                view = memoryview(frame)
                while view:
                    view = view[os.write(self.descriptor, view) :]

    def drain(self) -> None:
        termios.tcdrain(self.descriptor)


def main() -> None:
    """Do the job, and power off."""
    if not os.path.exists(JOB):
        for name in _WARM:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # forks leave these objects alone, so the kernel copies no page for a count of theirs
        wait_for_job()
    line = _Line()
    with open(JOB, encoding="utf-8") as file:
        job = json.load(file)
    on_terminal = "terminal" in job
    status = guest_terminal.run(job, line.descriptor, line.send) if on_terminal else _run(job, line)
    line.send(RESULTS, _results())
    line.send(STATUS, str(status).encode())
    line.drain()
    os.sync()
    ctypes.CDLL(None).reboot(_POWER_OFF)


def _run(job: dict[str, Any], line: _Line) -> int:
    """Exit status of the job, as a shell says it."""
    os.makedirs(job["directory"], exist_ok=True)
    pipes = {STDOUT: os.pipe(), STDERR: os.pipe()}
    writing = [end for _, end in pipes.values()]
    try:
        wait = _forked(job, *writing) if "module" in job else _spawned(job, *writing)
    except OSError as error:
        said = f"schedtel: cannot run {job['command'][0]!r} in the guest: {error.strerror} (see docs/lab.md)\n"
        line.send(STDERR, said.encode(errors="surrogateescape"))
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN
    for end in writing:
        os.close(end)
    threads = [_passing_on(kind, end, line) for kind, (end, _) in pipes.items()]
    status = wait()
    for thread in threads:
        thread.join(1)  # what the command left running may hold the pipes open
    return status if status >= 0 else 128 - status


def _spawned(job: dict[str, Any], stdout: int, stderr: int) -> Callable[[], int]:
    """Begin the job's command; what waits for its exit status."""
    return subprocess.Popen(
        job["command"], cwd=job["directory"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    ).wait


def _forked(job: dict[str, Any], stdout: int, stderr: int) -> Callable[[], int]:
    """Begin the job's module in a fork of this process; what waits for its exit status."""
    pid = os.fork()
    if pid == 0:
        _run_module(job, stdout, stderr)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run_module(job: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """The module's ``main`` in this process, and its end."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.chdir(job["directory"])
    status = 1
    try:
        status = importlib.import_module(job["module"]).main()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  (it must not return into the first process)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _passing_on(kind: bytes, stream: int, line: _Line) -> threading.Thread:
    thread = threading.Thread(target=_pass_on, args=(kind, stream, line), daemon=True)
    thread.start()
    return thread


def _pass_on(kind: bytes, stream: int, line: _Line) -> None:
    while content := os.read(stream, LONGEST):
        line.send(kind, content)


def _results() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(os.listdir("/out")):
            archive.add(f"/out/{name}", name)
    return packed.getvalue()


if __name__ == "__main__":
    main()
