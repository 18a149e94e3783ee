"""What runs inside the guest as its first process: the job of ``/job.json`` in; frames on the second serial line out.

The job's command gets two pipes. Its output is passed on as it comes; what it left in ``/out`` follows as a tar archive
when it has ended, and then the guest powers off. Nothing is sent to the guest after its start, but to a shell.
"""

import ctypes
import io
import json
import os
import subprocess
import tarfile
import termios
import threading
import tty
from typing import IO, Any

from schedtel.lab import guest_terminal
from schedtel.lab.frames import LONGEST, RESULTS, STATUS, STDERR, STDOUT, framed

_LINE = "/dev/ttyS1"
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
    line = _Line()
    with open("/job.json", encoding="utf-8") as file:
        job = json.load(file)
    on_terminal = "terminal" in job
    status = guest_terminal.run(job, line.descriptor, line.send) if on_terminal else _run(job, line)
    line.send(RESULTS, _results())
    line.send(STATUS, str(status).encode())
    line.drain()
    os.sync()
    ctypes.CDLL(None).reboot(_POWER_OFF)


def _run(job: dict[str, Any], line: _Line) -> int:
    """Exit status of the command, as a shell says it."""
    os.makedirs(job["directory"], exist_ok=True)
    try:
        process = subprocess.Popen(
            job["command"],
            cwd=job["directory"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        said = f"schedtel: cannot run {job['command'][0]!r} in the guest: {error.strerror} (see docs/lab.md)\n"
        line.send(STDERR, said.encode(errors="surrogateescape"))
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN
    streams = ((STDOUT, process.stdout), (STDERR, process.stderr))
    threads = [_passing_on(kind, stream, line) for kind, stream in streams if stream]
    status = process.wait()
    for thread in threads:
        thread.join(1)  # what the command left running may hold the pipes open
    return status if status >= 0 else 128 - status


def _passing_on(kind: bytes, stream: IO[bytes], line: _Line) -> threading.Thread:
    thread = threading.Thread(target=_pass_on, args=(kind, stream, line), daemon=True)
    thread.start()
    return thread


def _pass_on(kind: bytes, stream: IO[bytes], line: _Line) -> None:
    while content := os.read(stream.fileno(), LONGEST):
        line.send(kind, content)


def _results() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(os.listdir("/out")):
            archive.add(f"/out/{name}", name)
    return packed.getvalue()


if __name__ == "__main__":
    main()
