"""The tables of an event log: names, types, units and meanings of their columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from schedtel.records.event_layout import STATES
from schedtel.windows.arrow import from_list, from_numpy
from schedtel.windows.column import Column, count, nanoseconds

#: Raised when a column changes its meaning; in the metadata of each file.
EVENTS_VERSION = 1
KINDS = ("switch", "wakeup", "wakeup_new", "migrate")
LIFE_KINDS = ("alive", "newtask", "exec", "rename", "exit")
#: Why events are missing: the CPU's ring was full; a thread leaves a CPU that was not seen to come there, as the kernel
#: has withheld the event, or the filter has begun to select the thread meanwhile; a CPU has come online that has no
#: ring; the ring of life events was full; a program was not run; the CPU's ring of books was full.
GAP_CAUSES = ("ring_full", "unseen", "no_ring", "lives_full", "not_run", "books_full")
#: What an entity's books are told for: its task leaves, comes, is woken, migrates, or has been queued without an event.
BOOK_ROLES = ("leaves", "comes", "wakes", "migrates", "queued")
_NAME = pa.dictionary(pa.int32(), pa.string())

EVENTS = (
    nanoseconds("time_ns", "when it happened, on CLOCK_MONOTONIC"),
    Column("cpu", pa.uint16(), "", "the CPU on which it happened"),
    Column("event", _NAME, "", f"one of {', '.join(KINDS)}, as the kernel's sched_switch and so on"),
    Column("tid", pa.int32(), "", "the thread that comes in, is woken, or is moved; 0 is the idle task"),
    Column("prio", pa.int16(), "", "the kernel's priority of tid: 120 + nice, below 100 real time, -1 deadline"),
    Column("prev_tid", pa.int32(), "", "of a switch: the thread that leaves; in a file only where no switch tells it"),
    Column("prev_state", _NAME, "", f"of a switch: the state of prev_tid, one of {' '.join(STATES)}; R+ is preempted"),
    Column("target_cpu", pa.uint16(), "", "of a wakeup: the CPU that tid is queued on; of migrate: where it goes"),
    Column("source_cpu", pa.uint16(), "", "of migrate: the CPU that tid leaves"),
)
TASKS = (
    nanoseconds("time_ns", "when it happened, on CLOCK_MONOTONIC; of alive: when tracing began"),
    Column("event", _NAME, "", f"one of {', '.join(LIFE_KINDS)}; alive: there when tracing began"),
    Column("tid", pa.int32(), "", "the thread"),
    Column("tgid", pa.int32(), "", "its process"),
    nanoseconds("start_boottime_ns", "when it was forked, on CLOCK_BOOTTIME; with tid it names a life, as in windows"),
    Column("comm", _NAME, "", "its command name from this moment on; of exec and rename the new one"),
    Column("cpu", pa.uint16(), "", "the CPU on which it happened; null of alive"),
    Column("parent_tid", pa.int32(), "", "of newtask: the thread that forked it"),
    Column("previous_tid", pa.int32(), "", "of exec: its tid before, where it took over its leader's"),
    Column("exit_code", pa.int32(), "", "of exit: the status as wait(2) reports it"),
    Column("prio", pa.int16(), "", "the kernel's priority"),
    Column("kernel_thread", pa.bool_(), "", "whether it is a thread of the kernel"),
)
GAPS = (
    Column("cpu", pa.uint16(), "", "the CPU whose events are missing; null: any"),
    nanoseconds("from_ns", "the last event before, on CLOCK_MONOTONIC; or the begin of tracing"),
    nanoseconds("to_ns", "the first event after; or when it was noticed"),
    count("events", "how many are missing; of unseen at least so many; of books_full, rows of books"),
    Column("cause", _NAME, "", f"one of {', '.join(GAP_CAUSES)}"),
)
BOOKS = (
    nanoseconds("time_ns", "the time of the event; with cpu and tid it names the row of events"),
    Column("cpu", pa.uint16(), "", "the CPU on which it happened"),
    Column("tid", pa.int32(), "", "the thread that the entity is, or that is in its group"),
    Column("role", _NAME, "", f"one of {', '.join(BOOK_ROLES)}: what the event says of tid"),
    Column("level", pa.uint8(), "", "0: the thread itself, 1: its group, 2: the group of that, and so on"),
    Column("entity", pa.int64(), "", "a number for the entity, the same in the whole recording"),
    Column("parent", pa.int64(), "", "the entity of its group on that CPU; null at the top"),
    Column("queue", pa.int64(), "", "a number for the queue that the entity is on: a group's on one CPU"),
    Column("vruntime_ns", pa.int64(), "virtual ns", "its virtual run time: a nanosecond at the weight of nice 0"),
    Column("deadline_ns", pa.int64(), "virtual ns", "its virtual deadline"),
    Column("vlag_ns", pa.int64(), "virtual ns", "its lag when it left the queue; null where vprot has its place"),
    Column("vprot_ns", pa.int64(), "virtual ns", "the vruntime up to which it is protected; null off the queue"),
    nanoseconds("slice_ns", "the run time that it asks for at a time"),
    Column("weight", pa.int64(), "1", "its load weight: 1,048,576 is that of nice 0"),
    Column("on_rq", pa.bool_(), "", "whether it is on its queue; what runs is on it, too"),
    Column("sched_delayed", pa.bool_(), "", "whether it sleeps, but stays on the queue until its lag is spent"),
    Column("is_current", pa.bool_(), "", "whether it is what its queue runs"),
    Column("is_buddy", pa.bool_(), "", "whether its queue chooses it next, out of turn, if it is eligible"),
    Column("queued", pa.uint16(), "1", "entities on its queue, with itself; 65535 for more"),
)
COLUMNS = {"events": EVENTS, "tasks": TASKS, "gaps": GAPS, "books": BOOKS}
#: Columns that may be null. A file in which another one is null is refused.
NULLABLE = {
    "events": {"prev_tid", "prev_state", "target_cpu", "source_cpu"},
    "tasks": {"cpu", "parent_tid", "previous_tid", "exit_code"},
    "gaps": {"cpu"},
    "books": {"parent", "vlag_ns", "vprot_ns"},
}


def _field(table: str, column: Column) -> pa.Field:
    return column.field().with_nullable(column.name in NULLABLE[table])


ARROW = {table: pa.schema([_field(table, column) for column in columns]) for table, columns in COLUMNS.items()}


def names(places: np.ndarray, words: Sequence[str], known: np.ndarray | None = None) -> pa.Array:
    """Places in a list of words, shape (n,), as a dictionary of these words.

    :param known: booleans of shape (n,); the array is null where they are false.
    """
    return pa.DictionaryArray.from_arrays(from_numpy(places.astype(np.int32), known), from_list(words, pa.string()))


def no_rows(table: str) -> pa.Table:
    """A table without rows. pyarrow's own way to make one looks for pandas, whose import takes a second."""
    return pa.Table.from_batches([empty(table)])


def empty(table: str) -> pa.RecordBatch:
    """A batch without rows."""
    none = np.zeros(0, np.int32)
    arrays = [names(none, ()) if field.type == _NAME else from_list((), field.type) for field in ARROW[table]]
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW[table])
