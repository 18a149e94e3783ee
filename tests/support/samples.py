"""Windows to test with: a short history of two CPUs and five tasks, through programs, backend and tables."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from machine import HostBackend
from model import SLEEPING, TASK_DEAD, Arrive, Exit, Fork, Switch, Wake

from schedtel.records import layout
from schedtel.records.counted import Counted
from schedtel.records.raw_window import RawWindow
from schedtel.records.throttled import Throttled
from schedtel.windows import build as built
from schedtel.windows.machine_schema import MACHINE
from schedtel.windows.window import Window

MS = 1_000_000
START = 1_000 * MS
LENGTH = 100 * MS
WALL_START = 1_700_000_000_123_456_789
CGROUPS = SimpleNamespace(path_of={1: "/user.slice"}.get)
HOST = {
    "host": "testhost",
    "kernel": "6.18.0",
    "scheduler": "eevdf",
    "steal_ns": 10_000_000,
    "throttled_ns": 20_000_000,
    "collector_cpu_ns": 1_234_567,
    "collector_rss_bytes": 50 << 20,
}

#: A cgroup under a limit, in each of the windows.
THROTTLED = (Throttled("/batch.slice", 20_000_000, 2, 1),)

#: A row of the table `machine` by the unit of its columns.
BY_UNIT = {"ns": 20_000_000, "1": 2, "percent": 12.5, "bytes": 1 << 20, "bytes/s": 10 << 20}

#: (task, command name, uid)
TASKS = ((0, "web", 1000), (1, "web", 1000), (2, "batch", 1001), (3, "short", 1000), (4, "sleeper", 0))


def _at(ms: float) -> int:
    return START + int(ms * MS)


def _events():
    """Task 3 lives within the first window; task 4 sleeps from then on; the others share the CPUs."""
    yield from (step(_at(1), task) for task, _, _ in TASKS for step in (Fork, Arrive))
    yield Switch(_at(1), 0, None, 0)
    yield Switch(_at(2), 1, None, 3)
    yield Exit(_at(12), 3, 1)
    yield Switch(_at(12.5), 1, 3, 4, prev_state=TASK_DEAD)
    yield Switch(_at(13), 1, 4, 1, prev_state=SLEEPING)
    yield Switch(_at(51), 0, 0, 2, preempt=True)
    yield Switch(_at(91), 0, 2, 0, prev_state=SLEEPING, iowait=True)
    yield Wake(_at(110), 2)
    yield Switch(_at(130), 1, 1, 2, preempt=True, prev_state=SLEEPING)
    yield Switch(_at(180), 1, 2, 1, prev_state=SLEEPING)
    yield Switch(_at(250), 0, 0, None, prev_state=SLEEPING)


def raw_windows(library) -> list[RawWindow]:
    backend = HostBackend(library, 2, START)
    backend.open_first_at(START + 1, START + LENGTH)
    windows = []
    for event in _events():
        while event.now > backend.edge_ns:
            windows.append(backend.collect_at(backend.edge_ns + 1, backend.edge_ns + LENGTH))
        if isinstance(event, Fork):
            _, comm, uid = TASKS[event.task]
            backend.task(event.task, comm=comm, uid=uid)
        backend.happen(event)
    return [*windows, backend.collect_at(backend.edge_ns + 1, backend.edge_ns + LENGTH)]


def build(raw: RawWindow, window_id: int) -> Window:
    wall = WALL_START + raw.start_ns - START
    raw = replace(raw, counted=counted(raw))
    return built.build(raw, window_id, 1, wall, HOST, CGROUPS, THROTTLED, machine=machine_row(window_id))


def counted(raw: RawWindow) -> Counted:
    """Two events of each task: one that was counted all the time, and one that had a counter for half of it."""
    tasks = np.zeros(len(raw.tasks), layout.COUNTED_TASK)
    readings = np.zeros((len(tasks), 2), layout.READING)
    for name in ("tid", "start_boottime_ns"):
        tasks[name] = raw.tasks[name]
    readings["count"] = np.arange(2 * len(tasks)).reshape(-1, 2) * 10
    readings["enabled_ns"], readings["running_ns"] = MS, [MS, MS // 2]
    return Counted(("cycles", "page-faults"), tasks, readings, np.zeros(2, layout.READING))


def machine_row(window_id: int) -> dict[str, object]:
    """The columns of the table `machine`: the first window has no change, in the others memory in use gets less."""
    row: dict[str, object] = {column.name: BY_UNIT[column.unit] for column in MACHINE[1:]}
    changes = {name: None if window_id == 1 else 3.25 for name in row if name.endswith("_percent_change")}
    less = {"memory_used_total_delta_bytes": -4096, "memory_used_percent_change": -0.5}
    return row | changes | (less if window_id > 1 else {})


def windows(library) -> list[Window]:
    return [build(raw, number) for number, raw in enumerate(raw_windows(library), 1)]


def replaced(batch, **columns):
    """The batch with other values in some columns; None is null."""
    for name, values in columns.items():
        field = batch.schema.field(name)
        array = values if isinstance(values, pa.Array) else pa.array(values, field.type)
        batch = batch.set_column(batch.schema.get_field_index(name), field, array)
    return batch


def changed(window: Window, **columns: object) -> Window:
    """The window with other values in its summary."""
    return replace(window, summary=replaced(window.summary, **{name: [value] for name, value in columns.items()}))


def moved(window: Window, number: int, start_ns: int | None = None, **columns: object) -> Window:
    """The window with another number in all its tables, and with another start and other values in its summary.

    Its waits begin as much later as the window does.
    """
    tables = {
        name: replaced(batch, window_id=[number] * batch.num_rows)
        for name in ("summary", "tasks", "cpus", "preemptions", "throttled", "machine", "counters", "waits")
        if (batch := getattr(window, name)).num_rows
    }
    if start_ns is None:
        return changed(replace(window, **tables), **columns)
    if "waits" in tables:
        later = start_ns - window.start_ns
        begins = [None if start is None else start + later for start in window.waits["wait_start_ns"].to_pylist()]
        tables["waits"] = replaced(tables["waits"], wait_start_ns=begins)
    return changed(replace(window, **tables), window_start_ns=start_ns, **columns)


def on_host(window: Window, name: str) -> Window:
    """The window, as another host would have had it."""
    return changed(window, host=name)


def renamed(window: Window, name: str) -> Window:
    """The window, in which all commands, cgroups, victims, preemptors and tasks that waited have this name."""
    tasks = window.tasks
    names = pa.DictionaryArray.from_arrays(pa.array([0] * tasks.num_rows, pa.int32()), pa.array([name]))
    columns = [names if column in ("comm", "cgroup") else tasks[column] for column in tasks.schema.names]
    counters = window.counters
    whose = pa.DictionaryArray.from_arrays(pa.array([0] * counters.num_rows, pa.int32()), pa.array([name]))
    waits = window.waits
    waited = pa.DictionaryArray.from_arrays(pa.array([0] * waits.num_rows, pa.int32()), pa.array([name]))
    pairs = window.preemptions
    who = pa.DictionaryArray.from_arrays(pa.array([0] * pairs.num_rows, pa.int32()), pa.array([name]))
    sides = [who if column in ("victim", "preemptor") else pairs[column] for column in pairs.schema.names]
    return replace(
        window,
        tasks=pa.RecordBatch.from_arrays(columns, schema=tasks.schema),
        preemptions=pa.RecordBatch.from_arrays(sides, schema=pairs.schema),
        counters=replaced(counters, comm=whose, cgroup=whose),
        waits=replaced(waits, comm=waited, behind_comm=waited),
    )
