"""A state in; how busy the devices that the parts of graphs use have been, and how long parts waited for them, out."""

from typing import Any

import numpy as np

from schedtel.simulator.state import State


def figures_of_devices(state: State, devices: dict[str, int], start_ns: int, end_ns: int) -> dict[str, dict[str, Any]]:
    """Queue → its figures from the start of the run to its end; times in ns.

    :param devices: queue → devices that it is for, in the order of their semaphores.
    """
    first = int(state.machine["own_semaphores"][0]) - len(devices)
    return {
        name: _figures(state, first + number, count, start_ns, end_ns)
        for number, (name, count) in enumerate(devices.items())
    }


def _figures(state: State, semaphore: int, count: int, start_ns: int, end_ns: int) -> dict[str, Any]:
    parts = state.tasks[state.tasks["device"] == semaphore]
    begun = parts[parts["burst_since_ns"] > 0]
    ends_ns = np.where(begun["ran_ns"] > 0, begun["ran_ns"], end_ns)
    busy_ns, waits_ns = int((ends_ns - begun["burst_since_ns"]).sum()), begun["burst_since_ns"] - begun["wait_since_ns"]
    return {
        "count": count,
        "begun": len(begun),
        "ended": int((begun["ran_ns"] > 0).sum()),
        "busy_ns": busy_ns,
        "busy_share": busy_ns / max(1, count * (end_ns - start_ns)),
        "wait_mean_ns": float(waits_ns.mean()) if len(begun) else None,
        "wait_max_ns": int(waits_ns.max()) if len(begun) else None,
    }
