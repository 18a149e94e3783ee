"""A recording of events in; windows out, as a source, by the state machine that live windows come from.

The machine is that of imported traces (:mod:`schedtel.traces`). A recording tells what a trace tells, and processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.eventlog.batch import EventBatch
from schedtel.eventlog.files import column, losses, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.schema import KINDS, LIFE_KINDS
from schedtel.records.event_layout import STATES
from schedtel.records.raw_window import RawWindow
from schedtel.traces.events import EVENT, UNTOLD, Kind, PrevState
from schedtel.traces.play import NoCgroups, play
from schedtel.traces.replay import Replay
from schedtel.windows.build import build
from schedtel.windows.grid import window_length
from schedtel.windows.source import Source
from schedtel.windows.window import Window

#: Of each of ``STATES``, what the state machine asks: did it sleep, give way, was it preempted, or is it gone?
_LEFT = {"R": PrevState.RUNNING, "R+": PrevState.PREEMPTED, "X": PrevState.DEAD, "Z": PrevState.DEAD}
_PREV_STATES = np.array([_LEFT.get(letter, PrevState.BLOCKED) for letter in STATES], np.uint8)
_EVENT_KINDS = {"switch": Kind.SWITCH, "wakeup": Kind.WAKEUP, "wakeup_new": Kind.ARRIVAL}
_LIFE_KINDS = {"newtask": Kind.NEWTASK, "exec": Kind.EXEC, "exit": Kind.EXIT}
#: include/uapi/linux/sched.h
_CLONE_THREAD = 0x00010000


class EventWindows(Source):
    """Windows of a recording of events, aligned to multiples of their length on CLOCK_MONOTONIC.

    What no event tells is null, as in imported traces. A told loss is in ``programs_skipped`` of its window.

    :param tasks: of the same recording.
    :param window: length of a window, such as ``500ms``.

    Raises :class:`RecordingError` where the recording has no event, or was made with a filter.
    """

    is_repeatable = True

    def __init__(self, recording: EventRecording, tasks: Tasks, window: str = "5s") -> None:
        self.window_ns = window_length(window)
        self._recording, self._tasks = recording, tasks
        facts = recording.metadata
        if facts.get("filter"):
            raise RecordingError(
                f"cannot make windows of events with a filter ({facts['filter'][:80]}): what else the CPUs did is not "
                "known (record all tasks)"
            )
        self.metadata: Mapping[str, str] = {
            name: facts.get(name, "") for name in ("clock", "host", "kernel", "filter")
        } | {"window": window, "imported_from": "events", "imported_file": "", "imported_wall_clock": "the tracer"}
        self._window_id = 0

    def __iter__(self) -> Iterator[Window]:
        self._window_id = 0
        yield from play(self._chunks(), self.window_ns, self._begin, self._build)
        if not self._window_id:
            raise RecordingError("cannot make windows: the recording has no event (record for longer)")

    def _chunks(self) -> Iterator[np.ndarray]:
        lives = 0
        for batch in self._recording:
            own = np.arange(lives, lives + batch.tasks.num_rows)
            lives += batch.tasks.num_rows
            events = np.concatenate([self._events(batch.events), self._lives(own, batch), _lost(batch.gaps)])
            if len(events):
                yield events[np.argsort(events["time_ns"], kind="stable")]

    def _begin(self, start_ns: int, first_edge_ns: int) -> Replay:
        replay = Replay(start_ns, first_edge_ns)
        replay.know_cpus(max(self._recording.cpus) + 1)
        return replay

    def _build(self, raw: RawWindow) -> Window:
        self._window_id += 1
        spanned = max(1, round((raw.end_ns - raw.start_ns) / self.window_ns))
        wall_ns = raw.start_ns + self._recording.wall_offset_ns
        unknown = ("scheduler", "steal_ns", "throttled_ns", "collector_cpu_ns", "collector_rss_bytes")
        host = {name: self.metadata[name] for name in ("host", "kernel")} | dict.fromkeys(unknown)
        return build(raw, self._window_id, spanned, wall_ns, host, NoCgroups)

    def _events(self, events: pa.Table) -> np.ndarray:
        kinds = words(events, "event", KINDS)
        rows = np.flatnonzero(kinds != KINDS.index("migrate"))
        times, tids = column(events, "time_ns")[rows], column(events, "tid")[rows]
        switch = kinds[rows] == KINDS.index("switch")
        left, prio = column(events, "prev_tid")[rows], column(events, "prio")[rows]
        found = np.zeros(len(rows), EVENT)
        found["time_ns"], found["cpu"] = times, column(events, "cpu")[rows]
        found["kind"] = np.array([_EVENT_KINDS.get(kind, Kind.LOST) for kind in KINDS], np.uint8)[kinds[rows]]
        found["tid"], found["other"] = np.where(switch, left, tids), np.where(switch, tids, 0)
        found["prio"], found["other_prio"] = np.where(switch, 120, prio), prio
        found["current"] = np.where(switch, left, UNTOLD)
        found["state"] = np.where(switch, _PREV_STATES[words(events, "prev_state", STATES)[rows]], 0)
        mine, other = self._tasks.at(found["tid"], times), self._tasks.at(tids, times)
        names = np.array(self._tasks.comm, "S16")
        found["comm"], found["other_comm"] = names[mine], names[other]
        found["prio"] = np.where(switch, self._tasks.prio[mine], prio)
        found["tgid"] = np.where(switch, self._tasks.tgid[mine], 0)
        return found

    def _lives(self, rows: np.ndarray, batch: EventBatch) -> np.ndarray:
        """Births, execs and exits; the machine does not ask for the others.

        :param rows: those of the batch among all tasks.
        """
        tasks, found = self._tasks, np.zeros(len(rows), EVENT)
        kinds = [LIFE_KINDS[kind] for kind in tasks.kind[rows].tolist()]
        used = np.array([kind in _LIFE_KINDS for kind in kinds], bool)
        born = np.array([kind == "newtask" for kind in kinds], bool)
        before = column(batch.tasks, "previous_tid")
        found["time_ns"], found["cpu"] = tasks.time_ns[rows], column(batch.tasks, "cpu")
        found["kind"] = [_LIFE_KINDS.get(kind, Kind.LOST) for kind in kinds]
        by = np.where(born, tasks.parent[rows], tasks.tid[rows])
        found["tid"] = found["current"] = by
        found["other"] = np.where(born, tasks.tid[rows], np.where(before > 0, before, tasks.tid[rows]))
        found["prio"], found["other_prio"] = tasks.prio[rows], tasks.prio[rows]
        found["tgid"] = tasks.tgid[tasks.at(by, tasks.time_ns[rows])]
        found["argument"] = np.where(born & (tasks.tid[rows] != tasks.tgid[rows]), _CLONE_THREAD, 0)
        found["comm"] = found["other_comm"] = [tasks.comm[row] for row in rows.tolist()]
        return found[used]


def _lost(gaps: pa.Table) -> np.ndarray:
    rows = losses(gaps)
    found = np.zeros(len(rows), EVENT)
    found["time_ns"], found["cpu"] = column(gaps, "to_ns")[rows], column(gaps, "cpu")[rows]
    found["kind"], found["argument"] = Kind.LOST, column(gaps, "events")[rows].clip(max=2**32 - 1)
    return found
