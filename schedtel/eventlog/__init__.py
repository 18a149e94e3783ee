"""Single scheduling events in; Arrow tables and Parquet files, and what can be told from them, out.

tracing     a filter                               → raw events of this machine, by CPU, as they are written
decode      raw events of a CPU                    → columns, and gaps
lives       life events                            → rows of tasks
books       raw books of a CPU                     → rows of books, and gaps
recorder    raw events, lives, gaps                → Parquet files
files       a Parquet file                         → its rows, checked
ring        raw events, lives                      → those of the last seconds, by themselves
triggers    a condition, windows                   → whether it is broken (watch: in a thread)
snapshots   a directory                            → a log of what was written on request, and the way to ask
flight_recorder  raw events, reasons               → a recording for each reason
recording   a directory or a URI                   → Arrow tables
live        this machine                           → Arrow tables, as it happens
lookup      tasks                                  → who a tid is at a moment
timehist    a recording                            → the lines of `perf sched timehist`
latency     a recording                            → the table of `perf sched latency`
perf_data   a recording                            → a perf.data file (its head: perf_head)
running     a recording                            → who is on which CPU, and the events of each CPU, for exports
perfetto    a recording                            → a trace for Perfetto (by messages of protobuf)
ctf         a recording                            → a trace as LTTng writes it (its metadata: ctf_metadata)
page        an interval of a recording             → the figures of a page, which schedtel.report draws
windows     a recording                            → windows, by the state machine of traces
schema      what every column means
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from schedtel.errors import UsageError
from schedtel.eventlog.batch import EventBatch
from schedtel.eventlog.live import LiveEvents
from schedtel.eventlog.recording import EventRecording
from schedtel.kernel.filters import Filter

__all__ = ["EventBatch", "EventRecording", "LiveEvents", "events"]


def events(
    where: str | os.PathLike[str] | None = None,
    *,
    cgroup: str | Iterable[str] | None = None,
    pid: int | Iterable[int] | None = None,
    tid: int | Iterable[int] | None = None,
    uid: int | Iterable[int] | None = None,
    comm: str | Iterable[str] | None = None,
    kernel_threads: str = "include",
    duration: str | None = None,
    every: str = "100ms",
    ring_bytes: int | None = None,
    books: bool = False,
) -> EventRecording | LiveEvents:
    """Single scheduling events: those of a recording, or of this machine from now on (with CAP_BPF and CAP_PERFMON).

    Both are iterated over as batches of Arrow tables, and a recording also has each table as a whole
    (:meth:`EventRecording.events` and so on). Times are nanoseconds of CLOCK_MONOTONIC.

    - ``events``: ``time_ns``, ``cpu``, ``event`` (switch, wakeup, wakeup_new or migrate), ``tid``, ``prio``; of a
      switch ``prev_tid`` and ``prev_state``; ``target_cpu``; ``source_cpu``.
    - ``tasks``: ``time_ns``, ``event`` (alive, newtask, exec, rename or exit), ``tid``, ``tgid``,
      ``start_boottime_ns``, ``comm``, ``cpu``, ``parent_tid``, ``previous_tid``, ``exit_code``, ``prio``,
      ``kernel_thread``.
      A tid and a time name a life: the last of its rows at or before that time.
    - ``gaps``: ``cpu``, ``from_ns``, ``to_ns``, ``events`` (how many are missing), ``cause``.
    - ``books``: what the scheduler keeps of the threads and groups of an event, where it was asked for.

    :param where: a directory or URI that `schedtel events record` wrote; None: this machine. The parameters below are
        for this machine.
    :param duration: end after this time, such as ``5s``.
    :param every: how often there is a batch.
    :param ring_bytes: size of each CPU's ring, a power of two, 16 bytes an event; what finds it full is lost, and told
        in ``gaps``. None: 8 MiB, and less where there are more than 64 CPUs.
    :param books: also the scheduler's own books at each event; they take 2.5 times the ring's memory besides.

    The other parameters are those of :class:`schedtel.Filter`. A switch is recorded if the task that comes in is
    selected, or the one that leaves was when it came in.

    Raises :class:`UsageError` for a wrong value, :class:`RecordingError` for a recording that is missing, damaged or of
    another kind, and :class:`CapabilityError` where the kernel, the machine or the user's privileges lack something.
    """
    chosen = Filter(cgroup, pid, tid, uid, comm, kernel_threads)
    if where is None:
        return LiveEvents(chosen, duration, every, ring_bytes, books=books)
    if chosen != Filter() or duration is not None or ring_bytes is not None or books:
        raise UsageError(
            f"cannot use a filter, a duration, a ring or books with {where}: they are for this machine (drop them)"
        )
    return EventRecording(where)
