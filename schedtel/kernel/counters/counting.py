"""Perf events and core's control page in; what each event counted for each task, a window at a time, out.

``bpf/core/counters.bpf.c`` describes the programs.
"""

import errno
import mmap
import os
from collections.abc import Collection

import numpy as np

from schedtel.kernel.btf import ObjectTypes, check_contract
from schedtel.kernel.core.programs import object_image, packed
from schedtel.kernel.counters.entries import Taker, drop, put
from schedtel.kernel.counters.perf import open_event, refusal
from schedtel.kernel.libbpf import BpfObject, ProgInfo
from schedtel.records import layout
from schedtel.records.counted import Counted
from schedtel.records.perf_events import PerfEvent

_AT_SWITCH, _AT_EDGE = "count_switch", "count_now"
#: The tables of windows, by window & 1.
_TABLES = ("even", "odd")


class Counting:
    """The programs that count, loaded and attached, and the events of every CPU that is online.

    ``programs``: their names.

    :param control_fd: the map with core's control page, which has the window grid.
    :param cpus: the number of possible CPUs.
    :param max_tasks: of how many tasks a window has counts; those beyond are summed, and counted as lost.

    Raises :class:`CapabilityError` where the kernel, the machine or the user's privileges lack something.
    """

    programs = (_AT_SWITCH, _AT_EDGE)

    def __init__(
        self, events: tuple[PerfEvent, ...], control_fd: int, cpus: int, online: Collection[int], max_tasks: int
    ) -> None:
        self._events, self._cpus = events, cpus
        self._taker = Taker(layout.COUNTED_TASK, layout.COUNTED)
        self._object = BpfObject(object_image("counters"))
        try:
            self._load(control_fd, max_tasks)
            for cpu in online:
                self._open_events(cpu)
            self._object.attach(_AT_SWITCH)
            self.read(online)
        except BaseException:
            self.close()
            raise

    def _load(self, control_fd: int, max_tasks: int) -> None:
        structs = ObjectTypes(self._object.raw_btf()).structs()
        check_contract(structs, layout.COUNTER_CONTRACT)
        settings: dict[str, object] = {"events": len(self._events), "cpus": self._cpus}
        self._object.set_initial_value("schedtel.rodata", packed(structs["counter_settings"], settings))
        self._object.use_map("controls", control_fd)
        sizes = {"events": len(self._events) * self._cpus, "counting_cpus": self._cpus}
        for name, entries in (sizes | dict.fromkeys(_TABLES, max_tasks)).items():
            self._object.set_max_entries(name, entries)
        self._object.load()
        cpu_bytes = self._cpus * layout.COUNTING_CPU.itemsize
        self._cpu_map = mmap.mmap(self._object.map_fd("counting_cpus"), cpu_bytes, mmap.MAP_SHARED)
        self._other = np.frombuffer(self._cpu_map, layout.COUNTING_CPU, count=self._cpus)["other"]

    def _open_events(self, cpu: int) -> None:
        """Have all events of a CPU counted from now on. The map keeps them open, so no descriptor is kept here."""
        for place, event in enumerate(self._events):
            try:
                fd = open_event(event, cpu)
            except OSError as error:
                if error.errno == errno.ENODEV:  # the CPU has gone offline
                    return
                raise refusal(event, error) from error
            try:
                put(self._object.map_fd("events"), place * self._cpus + cpu, fd)
            finally:
                os.close(fd)

    def open_anew(self, cpu: int) -> None:
        """Have a CPU counted that came online: events that were open when it went offline count no more."""
        for place in range(len(self._events)):
            drop(self._object.map_fd("events"), place * self._cpus + cpu)
        self.read([cpu])  # without events: the next ones count from 0
        self._open_events(cpu)

    def read(self, online: Collection[int]) -> None:
        """Have the events read on each of these CPUs, for the task that is there; one may be offline by now."""
        for cpu in online:
            self._object.run_on(_AT_EDGE, cpu)

    def take(self, window: int) -> Counted:
        """The counts of a window, once its end has passed and all CPUs were read since."""
        tasks, values = self._taker.take(self._object.map_fd(_TABLES[window & 1]))
        number, bank = len(self._events), self._other[:, window & 1]
        other = np.zeros(number, layout.READING)
        for name in layout.READING.names or ():
            other[name] = bank["events"][name][:, :number].sum(axis=0)
        bank[:] = np.zeros((), layout.COUNTED)
        return Counted(tuple(event.name for event in self._events), tasks, values["events"][:, :number], other)

    def program_infos(self) -> list[ProgInfo]:
        """The kernel's counts of each of ``programs``."""
        return [self._object.program_info(name) for name in self.programs]

    def close(self) -> None:
        """Detach and unload the programs, and end the events."""
        self._object.close()
