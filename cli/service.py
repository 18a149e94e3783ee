"""A command that runs for months: log records in, lines on stderr out; and what systemd is told, if it is there.

Library and commands log to loggers below ``schedtel``; only here is decided what becomes of it.
"""

import contextlib
import logging
import os
import socket
import sys
from typing import TextIO

import click

from schedtel._version import __version__
from schedtel.durations import format_duration
from schedtel.live import LiveSource

#: What a command says in any case, unless it is to be quiet; and the events that ``-v`` adds to it.
say = logging.getLogger("schedtel.cli")
events = logging.getLogger("schedtel.events")
#: sd-daemon(3): the levels of syslog in front of a line, taken away again by the journal.
_SYSLOG = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}


def set_up_log(*, quiet: bool, verbose: bool) -> bool:
    """Let log lines go to stderr: with ``verbose``, and wherever the journal reads them, a line for each event.

    Returns whether events are told.
    """
    told = (verbose or in_journal()) and not quiet
    root = logging.getLogger("schedtel")
    root.handlers = [_Lines()]
    root.setLevel(logging.INFO if told else logging.CRITICAL)
    say.setLevel(logging.CRITICAL if quiet else logging.INFO)
    return told


class _Lines(logging.Handler):
    """A line on stderr for each record. Times are added by those who keep it: the journal, a container's runtime."""

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        try:
            click.echo(with_level(text, record.levelno), err=True)
        except OSError:  # nobody reads stderr any more: no reason to end
            give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Let what is written from now on go nowhere, and what Python still holds.

    It would be tried again when Python flushes at exit: a second complaint, and status 120.
    """
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def with_level(text: str, level: int) -> str:
    """A line as the journal wants it, else as a person does: what is wrong begins with our name."""
    if in_journal():
        return f"<{_SYSLOG[level]}>{text}"
    return text if level < logging.WARNING else f"schedtel: {text}"


def in_journal() -> bool:
    """Whether the journal reads stderr. The variable alone does not say so: children inherit it (systemd.exec(5))."""
    given = os.environ.get("JOURNAL_STREAM")
    if not given:
        return False
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return given == f"{found.st_dev}:{found.st_ino}"


def tell_systemd(state: str) -> None:
    """``READY=1`` or ``STOPPING=1``, where systemd waits for it; nothing elsewhere (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify, contextlib.suppress(OSError):
        notify.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def tell_start(source: LiveSource) -> None:
    """A line with all that decides what the numbers mean."""
    facts = source.metadata
    length = format_duration(source.window_ns)
    machine = (__version__, facts["host"], facts["kernel"])
    chosen = (source.backend, length, facts["filter"] or "all tasks")
    events.info("schedtel %s on %s, Linux %s: backend %s, window %s, %s", *machine, *chosen)


def tell_end(signals: list[str]) -> None:
    """A line that says why it ends, before what may take a moment."""
    tell_systemd("STOPPING=1")
    events.info("stopping: %s", signals[0] if signals else "the run is over")
