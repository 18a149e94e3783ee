"""Servers of windows that lie: each sends, where a window belongs, what no schedtel sends."""

from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pyarrow.flight as fl
from samples import changed, replaced

from schedtel.flight import wire
from schedtel.flight.wire import PART, WINDOW, Event

FACTS = {"host": "liar", "window": "100ms", "run": "20260101T000000Z-000000"}
SCHEMA = wire.windows_schema(FACTS)
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)


def row(window, sequence=1, missed=0, kind=WINDOW):
    """The batches of an event with this window."""
    return wire.pack(Event(kind, sequence, missed, window), SCHEMA)


def with_tasks(window, **columns):
    """The window with the same value in each row of some columns of its tasks."""
    count = window.tasks.num_rows
    return replace(window, tasks=replaced(window.tasks, **{name: [value] * count for name, value in columns.items()}))


def wide(window, rows):
    """The window with this many tasks."""
    return replace(window, tasks=window.tasks.take(pa.array([0] * rows, pa.int32())))


def labelled(window, labels):
    """The window whose tasks all have the first of these command names."""
    codes = pa.array([0] * window.tasks.num_rows, pa.int32())
    return replace(window, tasks=replaced(window.tasks, comm=pa.DictionaryArray.from_arrays(codes, labels, safe=False)))


def head(kind, sequence, missed):
    """A row without tables."""
    (batch,) = wire.pack(Event("end"), SCHEMA)
    values = [pa.array([kind], pa.string()), pa.array([sequence], pa.int64()), pa.array([missed], pa.int64())]
    return pa.RecordBatch.from_arrays([*values, *batch.columns[3:]], schema=SCHEMA)


def null_table(window):
    (batch,) = row(window)
    at = SCHEMA.get_field_index("tasks")
    columns = [pa.nulls(1, c.type) if number == at else c for number, c in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


#: Name → function from a sound window to the batches that a server sends.
LIES = {
    "a time beyond all calendars": lambda w: row(changed(w, wall_start=_LARGEST)),
    "a time before 1970": lambda w: row(changed(w, wall_start=-1)),
    "the smallest time": lambda w: row(changed(w, wall_start=_SMALLEST)),
    "a time in 2263": lambda w: row(changed(w, wall_start=9_250_000_000_000_000)),
    "no time": lambda w: row(changed(w, wall_start=None)),
    "a host of 5,000 bytes": lambda w: row(changed(w, host="h" * 5000)),
    "a host too long once quoted": lambda w: row(changed(w, host="/" * 100)),
    "a host with an escape sequence": lambda w: row(changed(w, host="\x1b[2J")),
    "an empty host": lambda w: row(changed(w, host="")),
    "no host": lambda w: row(changed(w, host=None)),
    "a kernel with a line break": lambda w: row(changed(w, kernel="6.1\n8")),
    "a null counter": lambda w: row(changed(w, ring_dropped=None)),
    "a null count": lambda w: row(changed(w, tat_count=None)),
    "a null average": lambda w: row(changed(w, running_avg=None)),
    "an infinite average": lambda w: row(changed(w, running_avg=float("inf"))),
    "a negative counter": lambda w: row(changed(w, wakeups=-1)),
    "the largest counter": lambda w: row(changed(w, steal_ns=_LARGEST)),
    "the window 0": lambda w: row(changed(w, window_id=0)),
    "a window of no length": lambda w: row(changed(w, window_ns=0)),
    "a window of negative length": lambda w: row(changed(w, window_ns=-5)),
    "a window of 292 years": lambda w: row(changed(w, window_ns=_LARGEST)),
    "a negative start": lambda w: row(changed(w, window_start_ns=-1)),
    "negative CPU time": lambda w: row(with_tasks(w, cpu_ns=-1)),
    "the largest CPU time": lambda w: row(with_tasks(w, cpu_ns=_LARGEST)),
    "the smallest response time": lambda w: row(with_tasks(w, rt_ns=_SMALLEST)),
    "no thread ids": lambda w: row(with_tasks(w, tid=None)),
    "a label of 100,000 bytes": lambda w: row(labelled(w, pa.array(["x" * 100_000]))),
    "a label that is null": lambda w: row(labelled(w, pa.array([None, "a"]))),
    "a label that is no UTF-8": lambda w: row(labelled(w, pa.array([b"\xff\xfe"]).view(pa.string()))),
    "a label that is not there": lambda w: row(labelled(w, pa.array([], pa.string()))),
    "a CPU beyond all machines": lambda w: row(replace(w, cpus=replaced(w.cpus, cpu=[2**31 - 1] * w.cpus.num_rows))),
    "two summaries": lambda w: row(replace(w, summary=w.summary.take(pa.array([0, 0])))),
    "no summary": lambda w: row(replace(w, summary=w.summary.slice(0, 0))),
    "parts without end": lambda w: [head(PART, 1, 0)] * 2000,
    "parts of two windows": lambda w: [*row(wide(w, 4000))[:1], *row(w, sequence=2)],
    "the same window again": lambda w: [*row(w), *row(w)],
    "windows backwards": lambda w: [*row(w, sequence=7), *row(w, sequence=6)],
    "the window -1": lambda w: row(w, sequence=-1),
    "a quintillion missed windows": lambda w: row(w, missed=10**18),
    "missed windows below zero": lambda w: row(w, missed=-1),
    "an unknown event": lambda _w: [head("news", 1, 0)],
    "no event": lambda _w: [head(None, 1, 0)],
    "an event without a number": lambda _w: [head("alive", None, 0)],
    "a null table": lambda w: [null_table(w)],
}


def message_of(size):
    """A batch that is one message of this many bytes."""
    (end,) = wire.pack(Event("end"), SCHEMA)
    return pa.RecordBatch.from_arrays([pa.array(["x" * size]), *end.columns[1:]], schema=SCHEMA)


class _Liar(fl.FlightServerBase):
    def __init__(self, batches, facts):
        self._batches, self._schema = batches, wire.windows_schema(facts)
        super().__init__("grpc://127.0.0.1:0")

    def get_flight_info(self, _context, descriptor):
        return fl.FlightInfo(self._schema, descriptor, [], -1, -1)

    def do_get(self, _context, _ticket):
        def streams():
            for batch in self._batches:
                yield fl.RecordBatchStream(
                    pa.Table.from_batches([batch.replace_schema_metadata(None).cast(self._schema)])
                )

        return fl.GeneratorStream(self._schema, streams())


@contextmanager
def lying(batches, facts=None):
    """A server that sends these batches to each subscriber. Yields its URI."""
    with _Liar(batches, FACTS if facts is None else facts) as server:
        yield f"grpc://127.0.0.1:{server.port}"
