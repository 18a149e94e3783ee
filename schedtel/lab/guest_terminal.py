"""What runs inside the guest for a shell: frames of input in; a command on a terminal of its own out."""

import os
import pty
import queue
import signal
import termios
import threading
from collections.abc import Callable
from typing import Any

from schedtel.lab.frames import INPUT, LONGEST, SIZE, STDOUT, FrameReader


def run(job: dict[str, Any], line: int, send: Callable[[bytes, bytes], object]) -> int:
    """Exit status of the job's command, which gets the frames that come on a line as its terminal's input.

    :param line: descriptor of the line, in raw mode.
    :param send: takes kind and content of a frame.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        _become(job)
    _resize(terminal, f"{job['terminal']['rows']} {job['terminal']['columns']}".encode())
    typed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_read, args=(line, terminal, typed), daemon=True),
        threading.Thread(target=_type, args=(terminal, typed), daemon=True),
        threading.Thread(target=_show, args=(terminal, send), daemon=True),
    ]
    for thread in threads:
        thread.start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    threads[-1].join(1)  # what the command left running may hold the terminal open
    return status if status >= 0 else 128 - status


def _become(job: dict[str, Any]) -> None:
    """Make this process the job's command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        os.chdir(job["directory"])
        os.execvpe(job["command"][0], job["command"], {**os.environ, "TERM": job["terminal"]["TERM"]})
    finally:
        os._exit(127)


def _read(line: int, terminal: int, typed: "queue.SimpleQueue[bytes]") -> None:
    """Read the line without a pause: the kernel drops what nobody reads."""
    reader = FrameReader()
    while True:
        for kind, content in reader.feed(os.read(line, LONGEST)):
            if kind == INPUT:
                typed.put(content)
            elif kind == SIZE:
                _resize(terminal, content)


def _type(terminal: int, typed: "queue.SimpleQueue[bytes]") -> None:
    while True:
        view = memoryview(typed.get())
        while view:
            view = view[os.write(terminal, view) :]


def _show(terminal: int, send: Callable[[bytes, bytes], object]) -> None:
    try:
        while content := os.read(terminal, LONGEST):
            send(STDOUT, content)
    except OSError:  # EIO: nobody has the terminal open any more
        return


def _resize(terminal: int, size: bytes) -> None:
    rows, columns = map(int, size.split())
    termios.tcsetwinsize(terminal, (rows, columns))
