"""The windows of a run in; where, when and beside what it was made, as facts by name, out."""

import os
import platform
import time
from pathlib import Path

import numpy as np

from schedtel._version import __version__
from schedtel.windows.window import Window

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
#: What a run is told to be; None is not known.
Fact = str | int | float | bool | None


def machine() -> dict[str, Fact]:
    """The machine, and the moment."""
    try:
        governor: str | None = _GOVERNOR.read_text().strip()
    except OSError:  # a virtual machine has none
        governor = None
    return {
        "schedtel": __version__,
        "kernel": platform.release(),
        "host": platform.node(),
        "cpus": len(os.sched_getaffinity(0)),
        "governor": governor,
        "wall_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load_average": os.getloadavg()[0],
    }


def conditions(windows: list[Window], workload_cpu_ns: float) -> dict[str, Fact]:
    """What happened beside the workload: stolen time, the CPU time of others, losses, and the scheduler that ran."""
    rows = [window.summary.to_pylist()[0] for window in windows]
    capacity = sum(row["window_ns"] for row in rows) * len(os.sched_getaffinity(0))
    busy = sum(int(np.sum(window.cpus.column("busy_ns").to_numpy())) for window in windows)
    collector = sum(row["collector_cpu_ns"] or 0 for row in rows)
    foreign = max(0.0, busy - workload_cpu_ns - collector)
    steal = sum(row["steal_ns"] or 0 for row in rows)
    return {
        "windows": len(rows),
        "scheduler_seen": "+".join(sorted({row["scheduler"] for row in rows if row["scheduler"]})),
        "steal_share": steal / capacity if capacity else 0.0,
        "foreign_cpu_share": foreign / capacity if capacity else 0.0,
        "losses": sum(sum(window.losses.values()) for window in windows),
    }
