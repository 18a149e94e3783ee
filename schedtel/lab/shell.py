"""The user's terminal in; a shell in a guest that is joined to it, until it ends or the user leaves, out.

What is typed goes to the guest as it is, Ctrl-C included: there it is a signal. Ctrl-] leaves.
"""

import contextlib
import os
import re
import select
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from schedtel.errors import CollectorError, UsageError
from schedtel.lab.frames import INPUT, LONGEST, SIZE, STATUS, STDERR, STDOUT, FrameReader, framed
from schedtel.lab.jobs import job_file
from schedtel.lab.machine import Machine, last_words, started

#: Ctrl-].
ESCAPE = b"\x1d"
_COMMAND = ("sh", "-l")
#: How often a signal, or a window of another size, is noticed.
_LOOK_S = 0.1
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def refuse_without_terminal() -> None:
    """Raise :class:`UsageError` unless stdin and stdout are a terminal."""
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("cannot open a shell: it needs a terminal (for a script, use `schedtel lab run -- COMMAND`)")


class Shell:
    """A shell in one guest, joined to the terminal of stdin and stdout."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._machine, self._directory = machine, directory
        self._stopped = False
        self._reader, self._to_guest = FrameReader(), bytearray()
        self._size, self._is_ready = b"", False
        self._status: int | None = None

    def stop(self) -> None:
        """End the guest at once. Safe in a signal handler and from any thread."""
        self._stopped = True

    def run(self, files: Mapping[str, bytes]) -> int | None:
        """Boot, and join the terminal. Returns the shell's exit status, 0 if the user left, None if it was stopped.

        :param files: what the guest has besides, by paths.

        Raises :class:`UsageError` without a terminal, :class:`CollectorError` where the guest ended early.
        """
        refuse_without_terminal()
        self._machine.prepare({**files, **job_file(_COMMAND, _terminal())}, self._directory)
        process = started(
            self._machine.command(interactive=True), self._machine.environment, self._directory, interactive=True
        )
        try:
            with _raw_terminal():
                has_left = self._joined(process)
        finally:
            process.kill()
            process.wait()
        if self._stopped:
            return None
        if self._status is None and not has_left:
            raise CollectorError(f"cannot go on in the guest: it ended early ({last_words(self._directory)})")
        return self._status or 0

    def _joined(self, process: "subprocess.Popen[bytes]") -> bool:
        """Pass bytes on in both directions until one side ends; whether the user left."""
        assert process.stdin
        assert process.stdout
        guest_in, guest_out = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(guest_in, False)
        while not self._stopped:
            self._look_at_size()
            # The guest's line has no reader before its first output, and would lose what comes earlier.
            writing = [guest_in] if self._to_guest and self._is_ready else []
            readable, writable, _ = select.select([0, guest_out], writing, [], _LOOK_S)
            if writable:
                del self._to_guest[: os.write(guest_in, self._to_guest[:LONGEST])]
            if guest_out in readable and not self._heard(os.read(guest_out, LONGEST)):
                return False
            if 0 in readable and not self._keys(os.read(0, LONGEST)):
                return True
        return False

    def _heard(self, arrived: bytes) -> bool:
        """Show what the guest said; False when it has ended."""
        for kind, content in self._reader.feed(arrived):
            if kind in (STDOUT, STDERR):
                self._is_ready = True
                sys.stdout.buffer.write(content)
            elif kind == STATUS:
                self._status = int(content)
        sys.stdout.buffer.flush()
        return bool(arrived) and self._status is None

    def _keys(self, typed: bytes) -> bool:
        """Send what was typed; False for the escape, and where the terminal is gone."""
        before, escape, _ = typed.partition(ESCAPE)
        self._to_guest += b"".join(framed(INPUT, before))
        return bool(typed) and not escape

    def _look_at_size(self) -> None:
        size = os.get_terminal_size(0)
        said = f"{size.lines} {size.columns}".encode()
        if said != self._size:
            self._to_guest += b"".join(framed(SIZE, said))
            self._size = said


def _terminal() -> dict[str, str | int]:
    size, kind = os.get_terminal_size(0), os.environ.get("TERM", "")
    return {"rows": size.lines, "columns": size.columns, "TERM": kind if _TERM.fullmatch(kind) else "vt100"}


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """The terminal passes every key on, until the context ends."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        with contextlib.suppress(termios.error):  # it may be gone
            termios.tcsetattr(0, termios.TCSAFLUSH, before)
