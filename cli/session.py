"""The user's options in; a running live source out. A signal or the traced command's end stops the source."""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from typing import Any

from schedtel.cli import lines
from schedtel.cli.heap import give_back_what_is_freed
from schedtel.cli.options import make_filter
from schedtel.cli.signals import STOP_SIGNALS
from schedtel.cli.traced_command import TracedCommand
from schedtel.errors import UsageError
from schedtel.kernel.filters import Filter
from schedtel.kernel.settings import Tracing
from schedtel.live import LiveSource


@dataclasses.dataclass
class Session:
    """A running source and the command it traces, if the user gave one."""

    source: LiveSource
    command: TracedCommand | None
    signals: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start the command. Inside the context, SIGINT, SIGTERM and SIGHUP end the open window."""
        with stop_on_signals(self.source.stop, self.command) as self.signals:
            if self.command:
                self.command.start(self.source.stop)
            yield

    def status(self) -> int:
        """Wait for the command and return its exit status; 0 if there is no command."""
        return self.command.join() if self.command else 0


@contextlib.contextmanager
def open_session(options: dict[str, Any], arguments: tuple[str, ...]) -> Iterator[Session]:
    """Start tracing and the command. Leaving the context stops tracing."""
    with prepare_session(options, arguments) as session, session.running():
        yield session


@contextlib.contextmanager
def prepare_session(options: dict[str, Any], arguments: tuple[str, ...]) -> Iterator[Session]:
    """Start tracing; leaving the context stops it. The command waits for :meth:`Session.running`.

    So a caller that fails in between, while it opens its output, has not run the command.

    Raises :class:`UsageError` when the options exclude each other or the command does not exist.
    """
    with filter_and_command(options, arguments) as (task_filter, command), _start(options, task_filter) as source:
        yield Session(source, command)


@contextlib.contextmanager
def filter_and_command(
    options: dict[str, Any], arguments: tuple[str, ...]
) -> Iterator[tuple[Filter, TracedCommand | None]]:
    """The filter that the options describe; with a command, its process is the filter's, and it waits to be started.

    Raises :class:`UsageError` when the options exclude each other or the command does not exist.
    """
    task_filter = make_filter(options)
    if arguments and (task_filter.pid is not None or task_filter.tid is not None):
        raise UsageError("cannot trace a command and a process or thread at once (drop --pid/--tid, or the command)")
    command = TracedCommand(arguments) if arguments else None
    try:
        yield dataclasses.replace(task_filter, pid=command.pid) if command else task_filter, command
    finally:
        if command:
            command.close()


def _start(options: dict[str, Any], task_filter: Filter) -> LiveSource:
    give_back_what_is_freed()
    tracing = Tracing(
        options["backend"],
        options["ring_size"] << 20,
        options["max_tasks"],
        options["preemptions"],
        options.get("counter", ()),
    )
    bounds = (options["count"], options["duration"])
    source = LiveSource(options["window"], task_filter, tracing, *bounds, machine=options.get("machine", False))
    if source.not_core_because:
        lines.remark(f"schedtel: using backend bcc, because core: {lines.in_one_line(source.not_core_because)}")
    return source


@contextlib.contextmanager
def stop_on_signals(end: Callable[[], None], command: TracedCommand | None = None) -> Iterator[list[str]]:
    """Inside the context, SIGINT, SIGTERM and SIGHUP call ``end``; SIGTERM and SIGHUP are also sent to the command.

    A SIGHUP that the caller ignores, as nohup(1) does, stays ignored.

    Yields a list to which each signal's name is appended on arrival; the caller logs them, since a signal handler must
    not.
    """
    received: list[str] = []

    def stop(number: int, _frame: object) -> None:
        received.append(signal.Signals(number).name)
        # The terminal sends Ctrl-C to the whole foreground process group; the other signals reach only this process.
        if command and number != signal.SIGINT:
            command.signal(number)
        end()

    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        for number, handler in previous.items():
            if (number, handler) != (signal.SIGHUP, signal.SIG_IGN):
                signal.signal(number, stop)
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
