"""A recording of events, or the text of a tracer, in; a run of a dataset, by roles, out.

A task has the name that it had last, so that an exec does not make two of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.eventlog.files import column, known, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.schema import KINDS
from schedtel.foreign_text import text_of, text_of_path
from schedtel.oracle.runs import EVENT, IDLE, IDLE_ROLE, NOBODY, OTHERS, UNKNOWN_CPU, Kind, Left, Run
from schedtel.records.event_layout import STATES
from schedtel.traces import events as traced
from schedtel.traces.file import TraceFile
from schedtel.traces.order import InOrder
from schedtel.traces.text import ReadProgress, parse

#: More events than a dataset has use for.
MOST_EVENTS = 1 << 23
_KIND_OF_TRACE = {
    traced.Kind.SWITCH: Kind.SWITCH,
    traced.Kind.WAKEUP: Kind.WAKEUP,
    traced.Kind.ARRIVAL: Kind.WAKEUP_NEW,
}
_LEFT_OF_TRACE = {traced.PrevState.RUNNING: Left.GIVES_WAY, traced.PrevState.PREEMPTED: Left.PREEMPTED}


def run_of_recording(where: str, workload: str, number: int, is_told: Callable[[str], bool] | None = None) -> Run:
    """The run in a directory or URI of `schedtel events record`.

    :param is_told: whether a task of that name keeps it; all others but the kernel's own are OTHERS. None: all do.

    Raises :class:`RecordingError` if it is none, damaged from the begin to the end, or has no events.
    """
    recording = EventRecording(where)
    table = recording.events().slice(0, MOST_EVENTS)
    if not table.num_rows:
        raise RecordingError(f"cannot use {where}: it has no events (record some)")
    gaps = _gaps(recording.gaps())
    told = recording.tasks()
    events, lives, names = _of_table(table, Tasks(told))
    if is_told is not None:
        of_kernel = column(told, "kernel_thread").astype(bool)
        names = [
            name if (life < len(of_kernel) and of_kernel[life]) or is_told(text_of(name)) else OTHERS.encode()
            for life, name in enumerate(names)
        ]
    facts = {name: recording.metadata.get(name, "") for name in ("kernel", "filter")} | {"source": "events"}
    facts["cpus"] = str(len(recording.cpus))
    return _with_roles(events, lives, names, gaps, workload, number, facts)


def _of_table(table: pa.Table, tasks: Tasks) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    """Events, the life of ``task`` and of ``previous`` of each, shape (n, 2), and a name for each life."""
    events = np.zeros(table.num_rows, EVENT)
    for name in ("time_ns", "cpu", "prio"):
        events[name] = column(table, name)
    events["kind"] = words(table, "event", KINDS)
    states = words(table, "prev_state", STATES)
    events["left"] = np.select([states == STATES.index("R"), states == STATES.index("R+")], [1, 2], 0)
    events["target_cpu"] = _cpus(table, "target_cpu")
    tids = np.stack([column(table, "tid"), column(table, "prev_tid")], 1).astype(np.int64)
    rows = np.stack([tasks.at(tids[:, side], events["time_ns"]) for side in (0, 1)], 1)
    lives = np.where(tids == 0, NOBODY, tasks.life[rows])
    last: dict[int, int] = {}
    for row in np.argsort(tasks.time_ns, kind="stable").tolist():
        last[int(tasks.life[row])] = row
    names = [tasks.comm[last.get(life, life)] for life in range(len(tasks.comm))]
    return events, lives, names


def _cpus(table: pa.Table, name: str) -> np.ndarray:
    return np.where(known(table, name), column(table, name).astype(np.int64), UNKNOWN_CPU)


def _gaps(table: pa.Table) -> np.ndarray:
    gaps = np.zeros(table.num_rows, EVENT)
    gaps["time_ns"], gaps["kind"], gaps["task"], gaps["previous"] = column(table, "to_ns"), Kind.GAP, NOBODY, NOBODY
    gaps["cpu"] = _cpus(table, "cpu")
    gaps["target_cpu"] = UNKNOWN_CPU
    return gaps


def run_of_trace(path: str, workload: str, number: int) -> Run:
    """The run in a text of `perf script`, `trace-cmd report` or ftrace. A tid is taken for one task.

    The CPU on which a woken task is queued is not told there; it is taken to be the one where it ran last.

    Raises :class:`RecordingError` if it is no such text, or has no switches.
    """
    file = TraceFile(path, "auto")
    try:
        reading = ReadProgress(file.form)
        pieces = list(_up_to(InOrder(parse(text, reading) for text in file), MOST_EVENTS))
    finally:
        file.close()
    found = np.concatenate([np.zeros(0, traced.EVENT), *pieces])
    if not (found["kind"] == traced.Kind.SWITCH).any():
        raise RecordingError(f"cannot use {path}: no task is switched to in it (trace sched:sched_switch)")
    return _of_trace(found, workload, number, file.form)


def _up_to(pieces: Iterator[np.ndarray] | InOrder, most: int) -> Iterator[np.ndarray]:
    for piece in pieces:
        yield piece[:most]
        most -= len(piece)
        if most <= 0:
            return


def _of_trace(found: np.ndarray, workload: str, number: int, form: str) -> Run:
    is_gap = found["kind"] == traced.Kind.LOST
    kept = found[np.isin(found["kind"], list(_KIND_OF_TRACE)) & ~is_gap]
    is_switch = kept["kind"] == traced.Kind.SWITCH
    events = np.zeros(len(kept), EVENT)
    events["time_ns"], events["cpu"], events["target_cpu"] = kept["time_ns"], kept["cpu"], UNKNOWN_CPU
    for kind, ours in _KIND_OF_TRACE.items():
        events["kind"][kept["kind"] == kind] = ours
    for state, left in _LEFT_OF_TRACE.items():
        events["left"][is_switch & (kept["state"] == state)] = left
    events["prio"] = np.where(is_switch, kept["other_prio"], kept["prio"])
    comes, leaves = np.where(is_switch, kept["other"], kept["tid"]), np.where(is_switch, kept["tid"], 0)
    distinct, places = np.unique(np.stack([comes, leaves], 1), return_inverse=True)
    lives = np.where(distinct[places] == 0, NOBODY, places).reshape(-1, 2)
    names = _names(lives, is_switch, kept, len(distinct))
    gaps = np.zeros(int(is_gap.sum()), EVENT)
    gaps["time_ns"], gaps["kind"], gaps["cpu"] = found["time_ns"][is_gap], Kind.GAP, UNKNOWN_CPU
    gaps["task"], gaps["previous"], gaps["target_cpu"] = NOBODY, NOBODY, UNKNOWN_CPU
    return _with_roles(events, lives, names, gaps, workload, number, {"source": f"text of {form}"})


def _names(lives: np.ndarray, is_switch: np.ndarray, kept: np.ndarray, count: int) -> list[bytes]:
    """The last name of each tid."""
    names = [b""] * count
    comes = np.where(is_switch, kept["other_comm"], kept["comm"])
    for side, comms, where in ((0, comes, slice(None)), (1, kept["comm"], is_switch)):
        own, its = lives[where, side], comms[where]
        last, at = np.unique(own[::-1], return_index=True)
        for life, place in zip(last.tolist(), at.tolist(), strict=True):
            if life >= 0:
                names[life] = bytes(its[::-1][place]) or names[life]
    return names


def _with_roles(
    events: np.ndarray,
    lives: np.ndarray,
    names: list[bytes],
    gaps: np.ndarray,
    workload: str,
    number: int,
    facts: dict[str, str],
) -> Run:
    """Give each life its role, in the order in which they appear, and put the gaps in between."""
    found, first = np.unique(lives, return_index=True)
    order = [int(found[place]) for place in np.argsort(first) if found[place] >= 0]
    ranks: dict[str, itertools.count[int]] = {}
    roles, places = [IDLE_ROLE], np.full(len(names) + 1, IDLE, np.int64)  # the last place is that of NOBODY, idle
    for life in order:
        comm = text_of(names[life]) or "unnamed"
        places[life] = len(roles)
        roles.append(f"{comm}#{next(ranks.setdefault(comm, itertools.count(1)))}")
    events["task"], events["previous"] = places[lives[:, 0]], places[lives[:, 1]]
    events["previous"][events["kind"] != Kind.SWITCH] = NOBODY
    together = np.concatenate([gaps, events])
    together = together[np.argsort(together["time_ns"], kind="stable")]
    together["time_ns"] -= together["time_ns"][0]
    return Run(text_of_path(workload), number, tuple(roles), together, facts)
