"""Events of a run by the roles of its tasks in; a Parquet file out, and the same run back, checked.

A role is a task's name and its rank among the tasks of that name in the run, such as ``nginx#2``: pids mean nothing in
another run. The idle task of each CPU is ``idle``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.windows.arrow import from_list, from_numpy, to_numpy, valid

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Raised when a column changes its meaning; in the metadata of each file.
RUN_VERSION = 1
IDLE, NOBODY = 0, -1
IDLE_ROLE = "idle"
#: The name of tasks that belong neither to the workload nor to the kernel.
OTHERS = "other"
#: What a CPU or a task that is not told has in its place; a gap on all CPUs.
UNKNOWN_CPU = -1
_MOST_ROLES, _MOST_EVENTS, _MOST_CPU, _MOST_NS = 1 << 20, 1 << 24, 8192, 1 << 62
_PREFIX = "schedtel.run."


class Kind(IntEnum):
    """What happened. At a gap, events of the CPU are missing right before."""

    SWITCH = 0
    WAKEUP = 1
    WAKEUP_NEW = 2
    MIGRATE = 3
    GAP = 4


class Left(IntEnum):
    """What becomes of the task that leaves at a switch."""

    BLOCKED = 0
    GIVES_WAY = 1
    PREEMPTED = 2


EVENT = np.dtype(
    [
        ("time_ns", "<i8"),
        ("cpu", "<i4"),
        ("kind", "<i4"),
        ("task", "<i4"),
        ("prio", "<i4"),
        ("previous", "<i4"),
        ("left", "<i4"),
        ("target_cpu", "<i4"),
    ]
)
_ROLE = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("cpu", pa.int32(), nullable=False),
        pa.field("event", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("role", _ROLE),
        pa.field("prio", pa.int32(), nullable=False),
        pa.field("previous_role", _ROLE),
        pa.field("left", pa.dictionary(pa.int8(), pa.string())),
        pa.field("target_cpu", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Run:
    """A run of a workload: its events in the order of time, of dtype EVENT, shape (n,).

    ``roles``: name of each task; ``task`` and ``previous`` of an event are places in it, or NOBODY. ``facts``: where it
    is from, as text. ``digest``: of the file that it was read from, SHA-256, which names the run.
    """

    workload: str
    number: int
    roles: tuple[str, ...]
    events: np.ndarray
    facts: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.number}"

    @property
    def switches(self) -> int:
        return int(np.count_nonzero(self.events["kind"] == Kind.SWITCH))

    @property
    def others(self) -> float:
        """The share of its switches that are to tasks of neither the workload nor the kernel."""
        is_others = np.array([comm_of(role) == OTHERS for role in self.roles], bool)
        comes = self.events["task"][self.events["kind"] == Kind.SWITCH]
        return float(is_others[comes].mean()) if len(comes) else 0.0


def comm_of(role: str) -> str:
    """The name in a role."""
    return role.rpartition("#")[0] or role


def cut(run: Run, begin_ns: int, switches: int) -> Run:
    """The part of a run that begins so long after its first event, up to so many switches; times from 0.

    Roles that do not occur in it are left out.
    """
    events = run.events
    if not len(events):
        return run
    begin = int(np.searchsorted(events["time_ns"], events["time_ns"][0] + begin_ns))
    ends = np.flatnonzero(events["kind"][begin:] == Kind.SWITCH)[:switches]
    part = events[begin : begin + int(ends[-1]) + 1].copy() if len(ends) else events[:0].copy()
    part["time_ns"] -= part["time_ns"][:1].sum()
    used = np.unique(np.concatenate([[IDLE], part["task"], part["previous"]]))
    used = used[used >= 0]
    for name in ("task", "previous"):
        part[name] = np.where(part[name] >= 0, np.searchsorted(used, part[name]), NOBODY)
    return Run(run.workload, run.number, tuple(run.roles[place] for place in used.tolist()), part, run.facts)


# ---- files ----


def to_parquet(run: Run) -> pa.Buffer:
    """The bytes of the run's file."""
    import pyarrow.parquet as pq  # noqa: PLC0415  (9 MB that other commands do without)

    facts = {"version": str(RUN_VERSION), "workload": run.workload, "number": str(run.number)}
    metadata = {f"{_PREFIX}{name}": value for name, value in {**run.facts, **facts}.items()}
    events, is_switch = run.events, run.events["kind"] == Kind.SWITCH
    roles = from_list(run.roles, pa.string())
    columns = [
        from_numpy(events["time_ns"].copy()),
        from_numpy(events["cpu"].copy()),
        _words(events["kind"], Kind, None),
        pa.DictionaryArray.from_arrays(from_numpy(events["task"].copy(), events["task"] >= 0), roles),
        from_numpy(events["prio"].copy()),
        pa.DictionaryArray.from_arrays(from_numpy(events["previous"].copy(), is_switch), roles),
        _words(events["left"], Left, is_switch),
        from_numpy(events["target_cpu"].copy(), events["target_cpu"] >= 0),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=_SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    others = [name for name in _SCHEMA.names if name != "time_ns"]
    options: dict[str, Any] = {"compression": "zstd", "compression_level": 9, "write_page_checksum": True}
    encoding = {"time_ns": "DELTA_BINARY_PACKED"}
    with pq.ParquetWriter(sink, batch.schema, use_dictionary=others, column_encoding=encoding, **options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _words(places: np.ndarray, words: type[IntEnum], known: np.ndarray | None) -> pa.Array:
    names = from_list([word.name.lower() for word in words], pa.string())
    return pa.DictionaryArray.from_arrays(from_numpy(places.astype(np.int8), known), names)


def from_parquet(content: bytes, path: str, digest: str) -> Run:
    """The run that was written.

    :param path: of the file, for messages.

    Raises :class:`RecordingError` for bytes that are no such file, or damaged.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
            told = _facts(file)
            table = file.read()
        table.validate(full=True)
        workload, number = told.pop("workload"), int(told.pop("number"))
        roles, events = _events(table)
    except (OSError, pa.ArrowException, MemoryError, ValueError, LookupError, OverflowError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise RecordingError(f"cannot read {path}: {cause} (make the dataset again)") from error
    return Run(workload, number, roles, events, told, digest)


def _facts(file: pq.ParquetFile) -> dict[str, str]:
    """The metadata. Raises :class:`ValueError` for a file that is no run's."""
    if not file.schema_arrow.equals(_SCHEMA) or file.metadata.num_rows > _MOST_EVENTS:
        raise ValueError("it is no run of a dataset")
    told = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
    facts = {key.removeprefix(_PREFIX): value for key, value in told.items() if key.startswith(_PREFIX)}
    if facts.pop("version", "") != str(RUN_VERSION):
        raise ValueError("it has another version")
    return facts


def _events(table: pa.Table) -> tuple[tuple[str, ...], np.ndarray]:
    """The roles and events of a file's rows. Raises :class:`ValueError` where they contradict each other."""
    roles: dict[str, int] = {IDLE_ROLE: IDLE}
    events = np.zeros(table.num_rows, EVENT)
    for name in ("time_ns", "cpu", "prio"):
        events[name] = to_numpy(table[name].combine_chunks())
    targets = table["target_cpu"].combine_chunks()
    events["target_cpu"] = np.where(valid(targets), to_numpy(targets), UNKNOWN_CPU)
    for name, column in (("task", "role"), ("previous", "previous_role")):
        events[name] = _places(table[column], roles)
    for name, column, words in (("kind", "event", Kind), ("left", "left", Left)):
        events[name] = _places(table[column], {word.name.lower(): int(word) for word in words}, closed=True)
    events["left"] = events["left"].clip(min=0)
    _check(events)
    return tuple(roles), events


def _places(column: pa.ChunkedArray, known: dict[str, int], *, closed: bool = False) -> np.ndarray:
    """Words as places in ``known``, which new ones are added to unless it is closed; NOBODY where it is null."""
    found = [np.zeros(0, np.int64)]
    for chunk in column.chunks:
        places = []
        for word in chunk.dictionary.to_pylist():
            if word is None or (closed and word not in known) or len(known) >= _MOST_ROLES:
                raise ValueError("it has unknown words")
            places.append(known.setdefault(word, len(known)))
        indices = np.where(valid(chunk), to_numpy(chunk.indices), len(places))
        found.append(np.array([*places, NOBODY], np.int64)[indices])
    return np.concatenate(found)


def _check(events: np.ndarray) -> None:
    """Raise :class:`ValueError` where a value cannot be."""
    times, switch = events["time_ns"], events["kind"] == Kind.SWITCH
    if (np.diff(times) < 0).any() or times.min(initial=0) < 0 or times.max(initial=0) > _MOST_NS:
        raise ValueError("its times go back")
    for name in ("cpu", "target_cpu"):
        if events[name].min(initial=0) < UNKNOWN_CPU or events[name].max(initial=0) >= _MOST_CPU:
            raise ValueError(f"its {name} is out of range")
    of_a_task = events["kind"] != Kind.GAP
    if (events["task"][of_a_task] < 0).any() or (events["previous"][switch] < 0).any():
        raise ValueError("an event does not tell its task")
    if (events["cpu"][of_a_task] < 0).any() or (events["kind"] < 0).any():
        raise ValueError("an event does not tell its CPU or kind")
