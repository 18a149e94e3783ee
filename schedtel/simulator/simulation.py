"""A plan and a machine in; windows out, as a source, and what became of each job.

The same plan and machine give the same windows, to the byte: nothing of them is of this machine or this moment.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schedtel.errors import WorkloadError
from schedtel.records.raw_window import RawWindow
from schedtel.simulator.beginning import beginning
from schedtel.simulator.collect import collect
from schedtel.simulator.crew import refuse_impossible
from schedtel.simulator.devices import figures_of_devices
from schedtel.simulator.engine import advance
from schedtel.simulator.machine import Machine
from schedtel.traces.play import NoCgroups
from schedtel.windows.build import build
from schedtel.windows.grid import window_length
from schedtel.windows.source import Source
from schedtel.windows.window import Window
from schedtel.workloads.outcome import Outcome
from schedtel.workloads.plan import Plan, refuse_overload

#: What stands in for the name of a host.
HOST = "simulated"
#: Simulated time between two looks whether the simulation is to be stopped.
_LOOK_NS = 100_000_000


class Simulation(Source):
    """Windows of a plan on a simulated machine, aligned to multiples of their length; the last one may be shorter.

    The clock begins at one window's length, since 0 means "not known" in a record. ``metadata`` has the plan's digest,
    its seed and the machine. ``outcome`` is what became of the jobs, once all windows have been iterated over;
    ``devices`` is then how busy those were that jobs use beside the CPUs.

    :param window: length of a window, such as ``500ms``, from 10 ms to 24 h.

    Raises :class:`UsageError` for a window out of range, for what cannot be simulated, and for a plan that brings more
    work than the machine's CPUs can do; :class:`CapabilityError` comes with the import where numba is not installed.
    """

    is_repeatable = True

    def __init__(self, plan: Plan, machine: Machine, window: str = "1s") -> None:
        self.window_ns = window_length(window)
        refuse_impossible(plan, machine)
        refuse_overload(plan, range(machine.cpus))
        self.plan, self.machine = plan, machine
        self.metadata: Mapping[str, str] = {
            "clock": "simulated",
            "host": HOST,
            "window": window,
            "filter": "",
            "preemptions": "comm",
            "plan": plan.sha256,
            "seed": str(plan.workload.seed),
            "machine": json.dumps(machine.as_dict()),
        }
        self.start_ns = self.now_ns = self.window_ns
        self.events = 0
        self.devices: dict[str, dict[str, Any]] = {}
        self._outcome: Outcome | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """End the run early. Safe in a signal handler and from any thread."""
        self._is_stopped = True

    @property
    def outcome(self) -> Outcome:
        """What became of the jobs. Raises :class:`WorkloadError` before all windows have been iterated over."""
        if self._outcome is None:
            raise WorkloadError("cannot tell the outcome: the simulation has not run (iterate over its windows first)")
        return self._outcome

    @property
    def progress(self) -> float:
        """The part of the run that is done, from 0 to 1."""
        return min(1.0, (self.now_ns - self.start_ns) / self.plan.workload.duration_ns)

    def __iter__(self) -> Iterator[Window]:
        workload = self.plan.workload
        state, rows = beginning(self.plan, self.machine, self.start_ns)
        last_ns = self.start_ns + workload.duration_ns + workload.drain_ns
        begin_ns, number, is_over = self.start_ns, 1, False
        while not is_over:
            edge_ns = min(begin_ns + self.window_ns, last_ns)
            self.now_ns = begin_ns
            while not is_over and self.now_ns < edge_ns:
                is_over = bool(advance(state, min(self.now_ns + _LOOK_NS, edge_ns))) or self._is_stopped
                self.now_ns = int(state.machine["now_ns"][0])
            is_over |= self.now_ns == last_ns
            if self.now_ns > begin_ns:
                yield window_of(collect(state, rows, number, begin_ns, self.now_ns), self.machine.scheduler)
            begin_ns, number = self.now_ns, number + 1
        self.events = int(state.machine["events"][0])
        self.devices = figures_of_devices(state, workload.devices(), self.start_ns, self.now_ns)
        self._outcome = Outcome(self.plan, state.records, self._facts(state), 0.0)

    def _facts(self, state: Any) -> dict[str, Any]:
        """What the generator says of a run; here no dispatcher takes time, and the kernel refuses nothing."""
        return {
            "started_ns": self.start_ns,
            "ended_ns": self.now_ns,
            "interrupted": self._is_stopped,
            "released": int(state.machine["released"][0]),
            "dispatcher_cpu_ns": 0,
            "dispatcher_policy": "none",
            "classes": [{"repeated": int(n), "errors": 0} for n in state.classes["repeated"]],
        }


def window_of(raw: RawWindow, scheduler: str) -> Window:
    """The window that schedtel would have made of these records on a machine under a scheduler."""
    unknown = ("kernel", "steal_ns", "throttled_ns", "collector_cpu_ns", "collector_rss_bytes")
    host: dict[str, object] = {"host": HOST, "scheduler": scheduler, **dict.fromkeys(unknown)}
    return build(raw, raw.number, 1, None, host, NoCgroups)
