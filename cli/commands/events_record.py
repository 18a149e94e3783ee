"""``schedtel events record``: single events of this machine in; Parquet of all, or of the last seconds on request, out.

With ``--ring`` it is a flight recorder: what a trigger or a person asks for is written, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from schedtel.cli.heap import end_quickly, give_back_what_is_freed
from schedtel.cli.options import log_options, refuse, task_options, together
from schedtel.cli.service import log_end, notify_systemd, say, set_up_log
from schedtel.cli.session import filter_and_command, stop_on_signals
from schedtel.cli.signals import on_request
from schedtel.cli.strict import StrictCommand
from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError
from schedtel.latch import Latch
from schedtel.live import LiveSource
from schedtel.windows.grid import window_length

if TYPE_CHECKING:
    from schedtel.eventlog.triggers import Trigger
    from schedtel.eventlog.watch import Watch
    from schedtel.kernel.filters import Filter

_FLIGHT_RECORDER = together(
    (
        click.option(
            "--ring",
            metavar="DURATION",
            help="Write nothing, but keep the last events of this time in memory, for --trigger, `schedtel events "
            "snapshot` and SIGUSR1.",
        ),
        click.option(
            "--trigger",
            "triggers",
            multiple=True,
            metavar="CONDITION",
            help="Write a snapshot when a window of telemetry breaks this, such as 'wakeup_wait_p99 > 10ms': a column "
            "of summary, one of > >= < <=, a value. At most one a minute. May be repeated.",
        ),
        click.option(
            "-w", "--window", default="1s", show_default=True, metavar="DURATION", help="Length of these windows."
        ),
        click.option(
            "--ring-memory",
            type=click.IntRange(min=1, max=1 << 20),
            default=256,
            show_default=True,
            metavar="MB",
            help="The most memory for these events, 65,536 a megabyte, and their books, 13,000; the oldest go first.",
        ),
    )
)
#: The parameters above that need --ring.
_OF_THE_RING = ("triggers", "window", "ring_memory")


@click.command("record", cls=StrictCommand, short_help="Record events to Parquet; or keep the last, for a snapshot.")
@click.option("-o", "--output", required=True, metavar="DIR|URI", help="A directory, new or empty; or a URI.")
@click.option("-d", "--duration", metavar="DURATION", help="End after this time.")
@task_options
@_FLIGHT_RECORDER
@click.option(
    "--ring-size",
    type=click.IntRange(min=1, max=1024),
    metavar="MB",
    help="Size of each CPU's ring in the kernel, a power of two: 65,536 events a megabyte.  [default: 8, less with "
    "over 64 CPUs]",
)
@click.option(
    "--books",
    is_flag=True,
    help="Also write the scheduler's own books at each event to DIR/books: vruntime, deadline, weight and the like, of "
    "threads and of their groups. Needs Linux 6.6 or later.",
)
@log_options
@click.argument("arguments", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def record(
    arguments: tuple[str, ...],
    output: str,
    duration: str | None,
    ring: str | None,
    ring_size: int | None,
    books: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Write each event to Parquet: DIR/events, who the threads are to DIR/tasks, and all losses to DIR/gaps.

    A file appears every five seconds; whatever ends the recording, at most what came after the last file is lost.

    With --ring it is a flight recorder: DIR gets a recording of its own for each snapshot, and what is in memory at the
    end is not written.

    With a COMMAND, run it, and record it and its descendants until it ends; its exit status is passed on.
    """
    set_up_log(quiet=quiet, verbose=verbose)
    duration_ns = None if duration is None else parse_duration(duration)
    ring_bytes = None if ring_size is None else ring_size << 20
    if ring is None:
        refuse(_OF_THE_RING, "a recording of all events", "it is for --ring")
        return _record_all(output, duration_ns, ring_bytes, books, options, arguments)
    return _keep_the_last(output, duration_ns, ring_bytes, ring, books, options, arguments)


def _record_all(
    output: str,
    duration_ns: int | None,
    ring_bytes: int | None,
    books: bool,
    options: dict[str, Any],
    arguments: tuple[str, ...],
) -> int:
    from schedtel.eventlog.recorder import EventRecorder, describe, record  # noqa: PLC0415  (pyarrow)
    from schedtel.eventlog.tracing import Tracing  # noqa: PLC0415  (see above)

    give_back_what_is_freed()
    stop = Latch()
    with (
        EventRecorder(output) as recorder,
        filter_and_command(options, arguments) as (task_filter, traced),
        closing(Tracing(task_filter, ring_bytes, books=books)) as tracing,
        stop_on_signals(stop.set, traced) as signals,
    ):
        if traced:
            traced.start(stop.set)
        notify_systemd("READY=1")
        record(tracing, recorder, stop, duration_ns)
        log_end(signals)
        lasted_ns = tracing.lasted_ns
        status = traced.join() if traced else 0
    end_quickly()
    counts = (recorder.events_written, recorder.events_lost, recorder.bytes_written)
    say.info("recorded %s", describe(*counts, lasted_ns, recorder.where))
    return status


def _keep_the_last(
    output: str,
    duration_ns: int | None,
    ring_bytes: int | None,
    ring: str,
    books: bool,
    options: dict[str, Any],
    arguments: tuple[str, ...],
) -> int:
    from schedtel.eventlog.flight_recorder import FlightRecorder, Requests  # noqa: PLC0415  (as in _record_all)
    from schedtel.eventlog.ring import EventRing  # noqa: PLC0415  (see above)
    from schedtel.eventlog.snapshots import REQUEST, Snapshots  # noqa: PLC0415  (see above)
    from schedtel.eventlog.tracing import Tracing  # noqa: PLC0415  (see above)

    span_ns, megabytes = parse_duration(ring), options["ring_memory"]
    triggers = _triggers(ring, span_ns, options)
    give_back_what_is_freed()
    stop, requests = Latch(), Requests()
    with (
        on_request(REQUEST, requests.make),
        Snapshots(output) as snapshots,
        filter_and_command(options, arguments) as (task_filter, traced),
        closing(Tracing(task_filter, ring_bytes, books=books)) as tracing,
        _watching(triggers, options["window"], task_filter) as watch,
        stop_on_signals(stop.set, traced) as signals,
    ):
        kept = EventRing(span_ns, megabytes << 20, tracing.start_ns)
        recorder = FlightRecorder(tracing, kept, snapshots, requests, watch, say.info)
        if traced:
            traced.start(stop.set)
        notify_systemd("READY=1")
        say.info("keeping the last %s in at most %d MB; SIGUSR1 to %d writes it", ring, megabytes, os.getpid())
        recorder.run(stop, duration_ns)
        log_end(signals)
        lasted_ns = tracing.lasted_ns
        status = traced.join() if traced else 0
    held_back = f", {watch.held_back} held back as too early after one" if watch and watch.held_back else ""
    say.info("kept events for %s: snapshots: %d%s", format_duration(lasted_ns), recorder.written, held_back)
    return status


def _triggers(ring: str, span_ns: int, options: dict[str, Any]) -> list[Trigger]:
    """The triggers that the options describe.

    Raises :class:`UsageError` for a wrong one, and for windows that the ring is too short for.
    """
    from schedtel.eventlog.triggers import Trigger  # noqa: PLC0415  (as in _record_all)

    if not options["triggers"]:
        refuse(("window",), "no trigger", "it is the length of the windows that triggers look at")
    triggers = [Trigger(text) for text in options["triggers"]]
    if triggers and window_length(options["window"]) > span_ns:
        raise UsageError(
            f"cannot keep {ring} for windows of {options['window']}: what breaks the condition may be gone by the "
            "window's end (keep more with --ring, or use shorter windows)"
        )
    return triggers


@contextmanager
def _watching(triggers: list[Trigger], window: str, task_filter: Filter) -> Iterator[Watch | None]:
    """Telemetry of the same tasks, for the triggers; None if there are none."""
    from schedtel.eventlog.watch import Watch  # noqa: PLC0415  (as in _record_all)

    if not triggers:
        yield None
        return
    with closing(Watch(LiveSource(window, task_filter), triggers)) as watch:
        yield watch
