"""Log records in; lines on stderr and notifications to systemd out, for commands that run for months.

The library and the commands log to loggers below ``schedtel``; only this module decides which records are written.
"""

import contextlib
import logging
import os
import socket
import sys
from typing import TextIO

from schedtel._version import __version__
from schedtel.cli import lines
from schedtel.durations import format_duration
from schedtel.live import LiveSource

#: Lines that a command writes unless ``-q`` is given, and the events that ``-v`` adds.
say = logging.getLogger("schedtel.cli")
events = logging.getLogger("schedtel.events")
#: sd-daemon(3): the journal takes a syslog level from the start of a line and removes it.
_SYSLOG = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}


def set_up_log(*, quiet: bool, verbose: bool) -> bool:
    """Send log records to stderr. With ``verbose``, or if the journal reads stderr, events are logged too.

    Returns whether events are logged.
    """
    logs_events = (verbose or in_journal()) and not quiet
    root = logging.getLogger("schedtel")
    root.handlers = [_Lines()]
    root.setLevel(logging.INFO if logs_events else logging.CRITICAL)
    say.setLevel(logging.CRITICAL if quiet else logging.INFO)
    return logs_events


class _Lines(logging.Handler):
    """Writes a line on stderr for each record. The journal or the container runtime adds the time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines.remark(with_level(lines.in_one_line(record.getMessage()), record.levelno))
        except OSError:  # the reader of stderr has gone: the command goes on
            discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to /dev/null: what is written from now on, and what Python has buffered.

    Otherwise Python's flush at exit fails again: it prints a second message, and the exit status becomes 120.
    """
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), stream.fileno())


def with_level(text: str, level: int) -> str:
    """The line with its syslog level for the journal; elsewhere, warnings and errors get the prefix ``schedtel:``."""
    if in_journal():
        return f"<{_SYSLOG[level]}>{text}"
    return text if level < logging.WARNING else f"schedtel: {text}"


def in_journal() -> bool:
    """Whether the journal reads stderr.

    JOURNAL_STREAM alone does not say so, since children inherit it: its device and inode must be those of stderr
    (systemd.exec(5)).
    """
    expected = os.environ.get("JOURNAL_STREAM")
    if not expected:
        return False
    try:
        actual = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return expected == f"{actual.st_dev}:{actual.st_ino}"


def notify_systemd(state: str) -> None:
    """Send ``READY=1`` or ``STOPPING=1`` to systemd; does nothing if systemd does not wait for it (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def log_start(source: LiveSource) -> None:
    """Log one line with everything that the figures depend on: versions, host, backend, window length, filter."""
    facts = source.metadata
    length = format_duration(source.window_ns)
    machine = (__version__, facts["host"], facts["kernel"])
    chosen = (source.backend, length, facts["filter"] or "all tasks")
    events.info("schedtel %s on %s, Linux %s: backend %s, window %s, %s", *machine, *chosen)


def log_end(signals: list[str]) -> None:
    """Log one line with the reason why the command ends; called before steps that may take a moment."""
    notify_systemd("STOPPING=1")
    events.info("stopping: %s", signals[0] if signals else "the run is over")
