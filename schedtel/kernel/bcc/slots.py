"""The bcc backend's slots as arrays: copies of slots in; task records and what is folded out. Vectorised, and pure.

The layout is that of ``bpf/bcc/slots.h``; :mod:`schedtel.kernel.bcc.compiler` has the compiler compare the two. Core's
programs define what a window's row says (``flush_task()`` in ``bpf/core/flush.h``, ``report_finished()`` in
``bpf/core/rows.h``), and this module does the same for arrays.
"""

from dataclasses import dataclass

import numpy as np

from schedtel.records import layout
from schedtel.records.histogram import add_spills

#: How many free slots one CPU can be given at a time: FREE_SLOTS of bpf/bcc/slots.h.
FREE_SLOTS = 1024
#: The status of a completed task that has left its CPU for good: SLOT_GONE.
GONE = 1
COMPLETED, HIDDEN = 1, 2
_FOREVER = np.uint64(2**64 - 1)

TASK_STATE = np.dtype(
    [
        ("seqcount", layout.SEQCOUNT),
        ("window", "<u4"),
        ("flushed", "<u4"),
        ("since_ns", "<u8"),
        ("wait_since_ns", "<u8"),
        ("burst_since_ns", "<u8"),
        ("first_cpu_ns", "<u8"),
        ("selected", "u1"),
        ("left_censored", "u1"),
        ("in_process", "u1"),
        ("open_wait_kind", "u1"),
        ("first_tid", "<u4"),
        ("fork_ns", "<u8"),
        ("arrival_ns", "<u8"),
        ("alive_since_ns", "<u8"),
        ("completion_ns", "<u8"),
        ("total_cpu_ns", "<u8"),
        ("open_wait_ns", "<u8"),
        ("preemptor", layout.GROUP),
        ("bank", layout.BANK, (2,)),
    ]
)

SLOT = np.dtype(
    [
        ("tid", "<u4"),
        ("status", "u1"),
        ("refreshed", "u1"),
        ("kernel_thread", "u1"),
        ("anonymous", "u1"),
        ("state", TASK_STATE),
        ("start_boottime_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("tgid", "<u4"),
        ("uid", "<u4"),
        ("prio", "<i4"),
        ("policy", "<u4"),
        ("comm", "S16"),
        ("in_cgroup", "u1"),
        ("padding", "u1", (15,)),
    ]
)

TID_ENTRY = np.dtype([("slot", "<u4"), ("seeded", "<u4")])

SLOT_CPU = np.dtype(
    [
        ("cpu", layout.CPU_STATE),
        ("slot", "<u4"),
        ("free_head", "<u4"),
        ("free_tail", "<u4"),
        ("padding", "<u4", (29,)),
        ("free", "<u4", (FREE_SLOTS,)),
    ]
)

#: C struct name → the dtype that must match it.
CONTRACT = layout.CONTRACT | {
    "task_state": TASK_STATE,
    "slot": SLOT,
    "tid_entry": TID_ENTRY,
    "slot_cpu": SLOT_CPU,
}

#: Load weight of each nice level from -20 on (sched_prio_to_weight[], kernel/sched/core.c), and of SCHED_IDLE.
# fmt: off
_WEIGHTS = np.array([
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
], np.uint32)
# fmt: on
_WEIGHT_IDLE, _SCHED_IDLE, _SCHED_FIFO, _SCHED_DEADLINE = 3, 5, 1, 6
_MAX_RT_PRIO, _PRIO_OF_NICE_0 = 100, 120


@dataclass(frozen=True)
class Edges:
    """One window: its number, its beginning and its end."""

    number: int
    start_ns: int
    end_ns: int


def banks(slots: np.ndarray, window: Edges) -> np.ndarray:
    """What the tasks of slots of shape (n,) did in a window: shape (n,) of ``layout.BANK``.

    A task without an event since the window's end is still in the phase that it had then, and its time up to the end is
    added. A completed task's bank is complete.
    """
    state = slots["state"]
    newest, phase = state["window"], state["seqcount"]["phase"]
    found = np.zeros(len(slots), layout.BANK)
    wrote = newest >= window.number
    found[wrote] = state["bank"][wrote, window.number & 1]
    open_ = np.flatnonzero((newest <= window.number) & ~completed(slots))
    since = np.maximum(state["since_ns"][open_], np.uint64(window.start_ns))
    tail = np.where(since < window.end_ns, np.uint64(window.end_ns) - since, np.uint64(0))
    found["time_ns"][open_, phase[open_]] += tail
    found["waits_unfinished"][open_] = np.isin(phase[open_], (layout.WAKEUP_WAIT, layout.PREEMPT_WAIT))
    found["bursts_unfinished"][open_] = state["burst_since_ns"][open_] != 0
    return found


def completed(slots: np.ndarray) -> np.ndarray:
    """Which slots' tasks have completed: booleans of shape (n,)."""
    return (slots["state"]["seqcount"]["flags"] & COMPLETED) != 0


def edges_of(slots: np.ndarray, window: Edges) -> np.ndarray:
    """The time up to which each row reports, in ns, shape (n,): unbounded for a completed task's last window."""
    last = completed(slots) & (slots["state"]["window"] <= window.number)
    return np.where(last, _FOREVER, np.uint64(window.end_ns))


def alive_ns(slots: np.ndarray, window: Edges) -> np.ndarray:
    """Each task's life inside the window, in ns, shape (n,)."""
    state, edge = slots["state"], edges_of(slots, window)
    ends = np.where(state["completion_ns"] == 0, edge, np.minimum(state["completion_ns"], edge))
    begins = np.maximum(state["alive_since_ns"], np.uint64(window.start_ns))
    alive = (state["alive_since_ns"] != 0) & (ends > begins)
    return np.where(alive, ends - np.minimum(begins, ends), np.uint64(0))


def open_waits_ns(slots: np.ndarray, window: Edges) -> np.ndarray:
    """The age of each task's wait that goes on past the window's end, in ns, shape (n,): ``open_wait()`` in bank.h.

    A task that has rolled says it of its frozen bank, as it was at the edge.
    """
    state, end = slots["state"], np.uint64(window.end_ns)
    since, phase = state["wait_since_ns"], state["seqcount"]["phase"]
    age = np.where(since == 0, layout.OPEN_WAIT_UNKNOWN, end - np.minimum(since, end))
    waits = np.isin(phase, (layout.WAKEUP_WAIT, layout.PREEMPT_WAIT)) & ~completed(slots)
    return np.where(state["window"] > window.number, state["open_wait_ns"], np.where(waits, age, np.uint64(0)))


def records(slots: np.ndarray, window: Edges) -> np.ndarray:
    """The rows of a window, of selected tasks and of all others: shape (n,) of ``layout.TASK_RECORD``."""
    state, edge = slots["state"], edges_of(slots, window)
    rows = np.zeros(len(slots), layout.TASK_RECORD)
    rows["window"], rows["bank"], rows["alive_ns"] = window.number, banks(slots, window), alive_ns(slots, window)
    rows["open_wait_ns"] = open_waits_ns(slots, window)
    for name in ("tid", "tgid", "start_boottime_ns", "cgroup_id", "uid", "kernel_thread", "comm"):
        rows[name] = slots[name]
    for name in ("fork_ns", "arrival_ns", "left_censored"):
        rows[name] = state[name]
    rows["previous_tid"] = state["first_tid"]
    rows["completion_ns"] = np.where(state["completion_ns"] > edge, 0, state["completion_ns"])
    came = (state["first_cpu_ns"] < edge) | (rows["completion_ns"] != 0)
    rows["first_cpu_ns"] = np.where(came & (state["left_censored"] == 0), state["first_cpu_ns"], 0)
    rows["total_cpu_ns"] = state["total_cpu_ns"] + rows["bank"]["time_ns"][:, layout.RUNNING]
    rows["policy"], rows["nice"], rows["weight"] = _scheduling(slots["prio"], slots["policy"])
    return rows


def _scheduling(prio: np.ndarray, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Policy, nice and load weight, each of shape (n,), from the scheduler's priority and the policy last known.

    The priority overrules a policy that has changed since: a negative one is a deadline task's, one below 100 a
    real-time task's.
    """
    real_time = (prio >= 0) & (prio < _MAX_RT_PRIO)
    stays = real_time == np.isin(policy, (_SCHED_FIFO, _SCHED_FIFO + 1))
    policy = np.where(stays, policy, np.where(real_time, _SCHED_FIFO, 0))
    policy = np.where(prio < 0, _SCHED_DEADLINE, policy)
    nice = np.where(prio < _MAX_RT_PRIO, 0, np.clip(prio - _PRIO_OF_NICE_0, -20, 19))
    return policy, nice, np.where(policy == _SCHED_IDLE, _WEIGHT_IDLE, _WEIGHTS[nice + 20])


def wanted(slots: np.ndarray, rows: np.ndarray, least_ns: int) -> np.ndarray:
    """Which tasks have a row of their own, by the filter as it was when the window began: booleans of shape (n,).

    To complete is activity by itself: the time on the CPU may be 0 where the kernel withheld the switch to the task.
    """
    time = rows["bank"]["time_ns"]
    activity = time[:, layout.RUNNING] + time[:, layout.WAKEUP_WAIT] + time[:, layout.PREEMPT_WAIT]
    return (slots["state"]["selected"] != 0) & (rows["alive_ns"] > 0) & (activity + completed(slots) >= least_ns)


def fold(into: np.ndarray, rows: np.ndarray) -> None:
    """Add rows to a FOLDED record of shape (1,)."""
    into["alive_ns"] += rows["alive_ns"].sum()
    into["tasks"] += np.uint64(np.count_nonzero(rows["alive_ns"]))
    open_waits = rows["open_wait_ns"][rows["open_wait_ns"] != layout.OPEN_WAIT_UNKNOWN]
    into["open_wait_ns"] = open_waits.max(initial=into["open_wait_ns"][0])
    bank = rows["bank"]
    wide = {name: bank[name].astype(np.uint32) for name in layout.TASK_HISTOGRAMS}
    add_spills(bank, *wide.values())
    for name in set(layout.WIDE_BANK.names or ()) & set(layout.BANK.names or ()):
        values, total = wide.get(name, bank[name]), into["bank"][name]
        total[0] = values.max(axis=0, initial=total[0]) if name == "max_wait_ns" else total[0] + values.sum(axis=0)


def selected(slots: np.ndarray, settings: np.ndarray) -> np.ndarray:
    """Which tasks the filter selects for the next window: booleans of shape (n,).

    These are the conditions of ``passes_filter()`` in ``bpf/filter.h``, for slots of shape (n,) at once: the collector
    asks about every task in every window.

    :param settings: a record of ``layout.SETTINGS``.
    """
    keep = np.ones(len(slots), bool)
    if settings["kernel_threads"]:
        keep &= (slots["kernel_thread"] != 0) == (settings["kernel_threads"] == 2)
    if settings["by_process"]:
        keep &= slots["state"]["in_process"] != 0
    for condition, name in (("by_tid", "tid"), ("by_uid", "uid")):
        if count := int(settings[condition]):
            keep &= np.isin(slots[name], settings[name][:count])
    if count := int(settings["by_comm"]):
        prefixes = (words.tobytes().rstrip(b"\0") for words in settings["comm_value"][:count])
        keep &= np.logical_or.reduce([np.char.startswith(slots["comm"], prefix) for prefix in prefixes])
    if settings["by_cgroup"]:
        keep &= slots["in_cgroup"] != 0
    return keep
