"""What one window left behind in the kernel: records and counters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from schedtel.records import layout


@dataclass
class RawWindow:
    """What one window left behind in the kernel.

    ``tasks``: (n,) of ``layout.TASK_RECORD``, overwritten when the next window's are drained; ``folded``: (m,) of
    ``layout.FOLDED``, to be summed into ``other``; ``cpus``: (online CPUs,) of ``layout.CPU_BANK`` with ``cpu_numbers``
    beside it; ``losses``: counts of this window; ``unknown``: columns of ``tasks`` that this backend cannot tell;
    ``unknown_rows``: those that it cannot tell of some tasks, which are true in an array of shape (n,).
    ``preemptions``: (k,) of ``layout.PREEMPTION``, a pair once for each CPU; ``preempted_by``: what its groups are,
    ``cgroup`` or ``comm``, or nothing where it is off.
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
