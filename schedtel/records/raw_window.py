"""The raw window: what a backend hands over for one window, as records and counters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from schedtel.records import layout
from schedtel.records.counted import Counted


@dataclass
class RawWindow:
    """One window as the kernel side recorded it: record arrays and counters.

    - ``number``, ``start_ns``, ``end_ns``: which window this is; times in ns on the clock that stamps the events.
    - ``tasks``: shape (n,) of ``layout.TASK_RECORD``; the next window's records overwrite it.
    - ``folded``: shape (m,) of ``layout.FOLDED``, to be summed into ``other``.
    - ``cpus``: shape (k,) of ``layout.CPU_BANK``, one for each CPU that was online for some of the window;
      ``cpu_numbers`` has the CPU of each.
    - ``losses``: counts of this window, by name.
    - ``bpf_ns``: run time of the BPF programs; None where the kernel does not count it.
    - ``unknown``: columns of ``tasks`` that this backend cannot know.
    - ``preemptions``: shape (k,) of ``layout.PREEMPTION``; each CPU has an entry of its own for a pair.
    - ``preempted_by``: what the groups of ``preemptions`` are, ``cgroup`` or ``comm``; empty where the table is off.
    - ``unknown_rows``: column of ``tasks`` → booleans of shape (n,), true where the backend cannot know it.
    - ``counted``: what perf events counted for each task; None where none were asked for.
    - ``waits``: shape (WAIT_KINDS, n) of ``layout.WAIT``: the longest waits of selected tasks, and shorter ones, in no
      order; an entry of 0 ns is none.
    """

    number: int
    start_ns: int
    end_ns: int
    tasks: np.ndarray
    folded: np.ndarray
    cpus: np.ndarray
    cpu_numbers: np.ndarray
    losses: dict[str, int]
    bpf_ns: int | None
    unknown: tuple[str, ...] = ()
    preemptions: np.ndarray = field(default_factory=lambda: np.zeros(0, layout.PREEMPTION))
    preempted_by: str = ""
    unknown_rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    counted: Counted | None = None
    waits: np.ndarray = field(default_factory=lambda: np.zeros((layout.WAIT_KINDS, 0), layout.WAIT))
