"""Raw events of a CPU in; columns of the table ``events``, and the rows of ``gaps`` that they tell of, out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schedtel.eventlog.schema import ARROW, GAP_CAUSES, KINDS, names
from schedtel.records import event_layout as raw
from schedtel.windows.arrow import from_list, from_numpy


@dataclass(frozen=True)
class Gap:
    """A row of ``gaps``."""

    cpu: int | None
    from_ns: int
    to_ns: int
    events: int
    cause: str


@dataclass
class CpuState:
    """What the events of a CPU so far leave behind: the time of the last one; and of the last switch, the task that
    came in, whether it was selected, the time, and whether events were lost since.
    """

    last_ns: int
    tid: int = -1
    followed: bool = False
    switch_ns: int = 0
    lost: bool = False


@dataclass(frozen=True)
class Decoded:
    """Events of one CPU in the order of time: columns of shape (n,). ``implied``: whether the switch before tells
    ``prev_tid``, so that a file does without it.
    """

    cpu: int
    time_ns: np.ndarray
    kind: np.ndarray
    tid: np.ndarray
    prio: np.ndarray
    prev_tid: np.ndarray
    prev_state: np.ndarray
    target_cpu: np.ndarray
    source_cpu: np.ndarray
    implied: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ns)

    def batch(self, *, stored: bool) -> pa.RecordBatch:
        """The rows; as a file has them if they are to be ``stored``."""
        switch, migrate = self.kind == raw.SWITCH, self.kind == raw.MIGRATE
        with_prev = switch & ~self.implied if stored else switch
        return pa.RecordBatch.from_arrays(
            [
                from_numpy(self.time_ns),
                from_numpy(np.full(len(self), self.cpu, np.uint16)),
                names(self.kind - np.uint8(raw.SWITCH), KINDS),
                from_numpy(self.tid),
                from_numpy(self.prio),
                from_numpy(self.prev_tid, with_prev),
                names(self.prev_state, raw.STATES, switch),
                from_numpy(self.target_cpu, ~switch),
                from_numpy(self.source_cpu, migrate),
            ],
            schema=ARROW["events"],
        )


def decode(events: np.ndarray, cpu: int, before: CpuState) -> tuple[Decoded, list[Gap]]:
    """The columns of raw events of a CPU, shape (n,) of EVENT, and the gaps among them.

    ``before`` is what the earlier ones have left behind, and is changed to what these leave.
    """
    kinds = raw.kinds(events)
    lost = kinds == raw.LOST
    gaps = _told(events, lost, cpu, before)
    switches = np.flatnonzero(kinds == raw.SWITCH)
    implied, unseen = _chain(events, switches, lost, cpu, before)
    if lost.any():
        kept = ~lost
        events, kinds, implied = events[kept], kinds[kept], implied[kept]
    return _columns(events, kinds, implied, cpu), gaps + unseen


def _told(events: np.ndarray, lost: np.ndarray, cpu: int, before: CpuState) -> list[Gap]:
    """The losses that the kernel side tells of."""
    times = raw.times(events)
    gaps = [
        Gap(cpu, int(times[at - 1]) if at else before.last_ns, int(times[at]), int(events["body"][at]), "ring_full")
        for at in np.flatnonzero(lost).tolist()
    ]
    if len(times):
        before.last_ns = int(times[-1])
    return gaps


def _chain(
    events: np.ndarray, switches: np.ndarray, lost: np.ndarray, cpu: int, before: CpuState
) -> tuple[np.ndarray, list[Gap]]:
    """Which events are switches whose leaving task came in by the switch before; and gaps where it should have been.

    :param switches: the places of the switches among the events.
    """
    implied = np.zeros(len(events), bool)
    losses = np.cumsum(lost)
    if not len(switches):
        before.lost |= bool(lost.any())
        return implied, []
    own = events[switches]
    came_in, times = raw.tids(own), raw.times(own)
    expected = np.concatenate([[before.tid], came_in[:-1]])
    same = raw.previous_tids(own) == expected
    implied[switches] = same
    followed = np.concatenate([[before.followed], raw.followed(own)[:-1]])
    losses_before = np.concatenate([[-1 if before.lost else 0], losses[switches[:-1]]])
    known = np.concatenate([[before.tid >= 0], np.ones(len(own) - 1, bool)])
    was_here = followed | raw.unseen(own)
    missing = np.flatnonzero(~same & known & was_here & (losses[switches] == losses_before))
    since = np.concatenate([[before.switch_ns], times[:-1]])
    gaps = [Gap(cpu, int(since[at]), int(times[at]), 1, "unseen") for at in missing.tolist()]
    last = switches[-1]
    before.tid, before.followed = int(came_in[-1]), bool(raw.followed(own[-1:])[0])
    before.switch_ns, before.lost = int(times[-1]), bool(losses[-1] > losses[last])
    return implied, gaps


def _columns(events: np.ndarray, kinds: np.ndarray, implied: np.ndarray, cpu: int) -> Decoded:
    switch, migrate = kinds == raw.SWITCH, kinds == raw.MIGRATE
    cpus = raw.cpus(events)
    return Decoded(
        cpu,
        raw.times(events),
        kinds,
        raw.tids(events),
        raw.prios(events),
        raw.previous_tids(events),
        raw.states(events) * switch.astype(np.int8),
        np.where(migrate, raw.destinations(events), cpus),
        cpus,
        implied,
    )


def gap_batch(gaps: list[Gap]) -> pa.RecordBatch:
    """Rows of the table ``gaps``."""
    schema = ARROW["gaps"]
    columns = {name: [getattr(gap, name) for gap in gaps] for name in schema.names}
    causes = np.array([GAP_CAUSES.index(gap.cause) for gap in gaps], np.int32)
    arrays = [from_list(columns[field.name], field.type) for field in list(schema)[:-1]]
    return pa.RecordBatch.from_arrays([*arrays, names(causes, GAP_CAUSES)], schema=schema)
