"""A state at a window's end in; the window out, as the records that the kernel side writes."""

import numpy as np
from numpy.typing import NDArray

from schedtel.records import layout
from schedtel.records.raw_window import RawWindow
from schedtel.simulator.state import State
from schedtel.windows.schema import LOSSES

#: What no simulated task has.
UNKNOWN = ("cgroup_id", "uid")
_WAITS = [layout.WAKEUP_WAIT, layout.PREEMPT_WAIT]
_COUNTS = (
    *("max_wait_ns", "burst_tat_sum_ns", "voluntary_switches", "involuntary_switches"),
    *("wakeups", "migrations", "bursts"),
)
_SPILLS = layout.BANK["spills"].shape[0]


def collect(state: State, rows: NDArray[np.void], number: int, start_ns: int, end_ns: int) -> RawWindow:
    """The window from ``start_ns`` to ``end_ns``, at which the state is; the state begins the next one.

    :param rows: what of the tasks' rows never changes.
    """
    _account_up_to(state, end_ns)
    tasks, is_alive = state.tasks, state.tasks["phase"] != layout.NOT_ALIVE
    waits = np.isin(tasks["phase"], _WAITS)
    active = (state.time_ns[:, [layout.RUNNING, *_WAITS]].any(axis=1)) | waits | (tasks["wakeups"] > 0)
    active |= tasks["completion_ns"] > start_ns
    chosen, asleep = np.flatnonzero(active), np.flatnonzero(is_alive & ~active)
    lost = dict.fromkeys(LOSSES, 0)
    records = _records(state, rows, chosen, number, end_ns)
    lost["samples_discarded"] = _fill_histograms(records["bank"], state.histograms[chosen])
    raw = RawWindow(
        number,
        start_ns,
        end_ns,
        records,
        _folded(state, asleep),
        _cpu_banks(state),
        np.arange(len(state.cpus)),
        lost,
        None,
        UNKNOWN,
        _preemptions(state, rows),
        "comm",
    )
    _begin_window(state)
    return raw


def _account_up_to(state: State, end_ns: int) -> None:
    """What goes on at the window's end counts up to there."""
    alive = np.flatnonzero(state.tasks["phase"] != layout.NOT_ALIVE)
    state.time_ns[alive, state.tasks["phase"][alive]] += end_ns - state.tasks["since_ns"][alive]
    state.tasks["since_ns"][alive] = end_ns
    cpus = state.cpus
    elapsed = end_ns - cpus["since_ns"]
    cpus["busy_ns"] += np.where(cpus["busy"] > 0, elapsed, 0)
    cpus["idle_ns"] += np.where(cpus["busy"] > 0, 0, elapsed)
    cpus["since_ns"] = end_ns


def _records(state: State, rows: NDArray[np.void], chosen: NDArray[np.intp], number: int, end_ns: int) -> np.ndarray:
    tasks, times, found = state.tasks[chosen], state.time_ns[chosen], rows[chosen]
    censored = found["left_censored"] > 0
    waits = np.isin(tasks["phase"], _WAITS)
    found["window"] = number
    found["start_boottime_ns"] = found["arrival_ns"] = tasks["arrival_ns"]
    has_run = ~censored & (tasks["first_cpu_ns"] >= 0) & (tasks["first_cpu_ns"] < end_ns)
    found["first_cpu_ns"] = np.where(has_run, tasks["first_cpu_ns"], 0)
    found["completion_ns"] = np.maximum(tasks["completion_ns"], 0)
    found["alive_ns"] = times.sum(axis=1)
    found["total_cpu_ns"] = (state.tasks["total_cpu_ns"] + _uncharged(state, end_ns))[chosen]
    found["open_wait_ns"] = np.where(waits, end_ns - tasks["wait_since_ns"], 0)
    bank = found["bank"]
    bank["time_ns"] = times
    for name in _COUNTS:
        bank[name] = tasks[name]
    bank["waits_unfinished"] = waits
    bank["bursts_unfinished"] = waits | (tasks["phase"] == layout.RUNNING)
    return found


def _uncharged(state: State, end_ns: int) -> NDArray[np.int64]:
    """CPU time of the current tasks since they were last charged, shape (tasks,)."""
    found, running = np.zeros(len(state.tasks), np.int64), state.cpus[state.cpus["current"] >= 0]
    found[running["current"]] = end_ns - running["charged_ns"]
    return found


def _fill_histograms(banks: np.ndarray, counts: NDArray[np.uint32]) -> int:
    """Counts of shape (n, 2, TASK_BUCKETS) as the kernel keeps them: in 16 bits, with spills.

    Returns how many samples there was no spill for.
    """
    banks["wait_histogram"], banks["burst_tat_histogram"] = counts[:, 0] & 0xFFFF, counts[:, 1] & 0xFFFF
    lost = 0
    for row in np.flatnonzero((counts >> 16).any(axis=(1, 2))).tolist():
        times = counts[row].reshape(-1) >> 16
        buckets = np.flatnonzero(times)
        kept = buckets[:_SPILLS]
        banks["spills"]["bucket"][row, : len(kept)], banks["spills"]["times"][row, : len(kept)] = kept, times[kept]
        banks["spilled"][row] = len(kept)
        lost += int(times[buckets[_SPILLS:]].sum()) << 16
    return lost


def _folded(state: State, asleep: NDArray[np.intp]) -> np.ndarray:
    """The sum of the tasks that have slept all window, shape (1,)."""
    found = np.zeros(1, layout.FOLDED)
    found["tasks"] = len(asleep)
    found["bank"]["time_ns"] = state.time_ns[asleep].sum(axis=0)
    found["alive_ns"] = found["bank"]["time_ns"].sum()
    return found


def _cpu_banks(state: State) -> np.ndarray:
    found = np.zeros(len(state.cpus), layout.CPU_BANK)
    found["time_ns"][:, layout.CPU_BUSY] = state.cpus["busy_ns"]
    found["time_ns"][:, layout.CPU_IDLE] = state.cpus["idle_ns"]
    found["switches"] = state.cpus["switches"]
    selected = found["samples"][:, 1]
    selected["histogram"], selected["sum_ns"], selected["max_ns"] = state.samples, *np.moveaxis(state.sums_ns, 2, 0)
    return found


def _preemptions(state: State, rows: NDArray[np.void]) -> np.ndarray:
    """Who preempted whom, by command name: an entry for each pair of classes."""
    victims, preemptors = np.nonzero(state.preemptions[:, :, 0])
    found = np.zeros(len(victims), layout.PREEMPTION)
    names = np.zeros(len(state.classes), "S16")
    names[state.tasks["group"]] = rows["comm"]
    words = names.view("<u8").reshape(-1, 2)
    found["victim"]["words"], found["preemptor"]["words"] = words[victims], words[preemptors]
    counted = state.preemptions[victims, preemptors]
    found["count"], found["wait_ns"], found["max_wait_ns"] = counted.T
    return found


def _begin_window(state: State) -> None:
    for counts in (state.time_ns, state.histograms, state.samples, state.sums_ns, state.preemptions):
        counts[:] = 0
    for name in _COUNTS:
        state.tasks[name] = 0
    for name in ("busy_ns", "idle_ns", "switches"):
        state.cpus[name] = 0
