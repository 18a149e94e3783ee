"""A live source under a command: started with the user's options, stopped by signals or by the traced command's end."""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from typing import Any

import click

from schedtel.cli.heap import give_back_what_is_freed
from schedtel.cli.options import make_filter
from schedtel.cli.traced_command import TracedCommand
from schedtel.errors import UsageError
from schedtel.kernel.filters import Filter
from schedtel.kernel.settings import Tracing
from schedtel.live import LiveSource

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclasses.dataclass
class Session:
    """A running source and, if one was given, the command it traces."""

    source: LiveSource
    command: TracedCommand | None
    signals: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the command run. Within, SIGINT, SIGTERM and SIGHUP end the open window and let the caller finish."""
        with stop_on_signals(self.source.stop, self.command) as self.signals:
            if self.command:
                self.command.start(self.source.stop)
            yield

    def status(self) -> int:
        """The exit status to pass on: the command's, else 0."""
        return self.command.join() if self.command else 0


@contextlib.contextmanager
def open_session(options: dict[str, Any], arguments: tuple[str, ...]) -> Iterator[Session]:
    """Start tracing and let the command run; on leaving, stop tracing."""
    with prepare_session(options, arguments) as session, session.running():
        yield session


@contextlib.contextmanager
def prepare_session(options: dict[str, Any], arguments: tuple[str, ...]) -> Iterator[Session]:
    """Start tracing; on leaving, stop it. The command waits for :meth:`Session.running`, for who may fail before."""
    task_filter = make_filter(options)
    if arguments and (task_filter.pid is not None or task_filter.tid is not None):
        raise UsageError("cannot trace a command and a process or thread at once (drop --pid/--tid, or the command)")
    command = TracedCommand(arguments) if arguments else None
    try:
        if command:
            task_filter = dataclasses.replace(task_filter, pid=command.pid)
        with _start(options, task_filter) as source:
            yield Session(source, command)
    finally:
        if command:
            command.close()


def _start(options: dict[str, Any], task_filter: Filter) -> LiveSource:
    give_back_what_is_freed()
    tracing = Tracing(options["backend"], options["ring_size"] << 20, options["max_tasks"], options["preemptions"])
    source = LiveSource(options["window"], task_filter, tracing, options["count"], options["duration"])
    if source.not_core_because:
        reason = " ".join(source.not_core_because.split())
        click.echo(f"schedtel: using backend bcc, because core: {reason}", err=True)
    return source


@contextlib.contextmanager
def stop_on_signals(end: Callable[[], None], command: TracedCommand | None = None) -> Iterator[list[str]]:
    """Within, SIGINT, SIGTERM and SIGHUP call ``end``; all but Ctrl-C are also passed on to the command.

    Yields a list that fills with the names of the signals that came: no handler may write to a log.
    """
    came: list[str] = []

    def stop(number: int, _frame: object) -> None:
        came.append(signal.Signals(number).name)
        # Ctrl-C reaches the whole foreground group; the other signals only us.
        if command and number != signal.SIGINT:
            command.signal(number)
        end()

    before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
