"""Readings of psutil in; the columns of the table ``machine`` out: averages, differences and changes of a window.

It is imported only where the table is asked for: psutil takes time and memory that tracing does without.
"""

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import psutil

from schedtel.access.descriptors import EXHAUSTED
from schedtel.durations import NS_PER_S

#: Between two samples of memory and swap: a tenth of a window, and within these bounds. A sample takes some 0.1 ms.
_SAMPLES, _OFTENEST_NS, _RAREST_NS = 10, NS_PER_S // 10, NS_PER_S
#: psutil counts the guests' time in ``user`` and ``nice`` already.
_CPU_TIMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
#: Block devices whose I/O is memory's, or is counted again as that of the disk below.
_NO_DISKS = ("loop", "ram", "zram")
_BLOCK_DEVICES = "/sys/block"
#: Bytes read and written by disk.
_Disks = Mapping[str, tuple[int, int]] | None


@dataclass(frozen=True)
class Reading:
    """What psutil counts since boot, at one moment: CPU times in ns, swap in bytes, bytes read and written by disk.

    ``disks`` is None where the kernel tells of no disk.
    """

    moment_ns: int
    cpu_ns: Mapping[str, int]
    swap: Mapping[str, int]
    disks: _Disks

    @classmethod
    def now(cls) -> Self:
        times = psutil.cpu_times()
        swap = _swap()
        return cls(
            time.monotonic_ns(),
            {name: round(getattr(times, name, 0.0) * NS_PER_S) for name in _CPU_TIMES},
            {"swap_in": int(swap.sin), "swap_out": int(swap.sout)},
            _disks(),
        )

    def after(self, before: Self) -> Self:
        """This reading, without a count of swap that goes back: psutil says 0 where it could not open a file."""
        return replace(self, swap={name: max(count, before.swap[name]) for name, count in self.swap.items()})


def _swap() -> Any:
    with warnings.catch_warnings():  # a kernel without swap has no counters of it: 0, of which psutil warns
        warnings.simplefilter("ignore", RuntimeWarning)
        return psutil.swap_memory()


def _disks() -> _Disks:
    """Bytes read and written by each whole disk; a volume that is made of other devices is not counted again."""
    try:
        counters = psutil.disk_io_counters(perdisk=True, nowrap=False)
    except (NotImplementedError, PermissionError):  # no /proc/diskstats, or a container that hides it
        return None
    found = {name: (io.read_bytes, io.write_bytes) for name, io in counters.items() if _is_disk(name)}
    return found or None


def _is_disk(name: str) -> bool:
    """Whether a block device is neither a partition, nor made of other devices, nor of memory."""
    if name.startswith(_NO_DISKS):
        return False
    try:
        return not os.listdir(f"{_BLOCK_DEVICES}/{name.replace('/', '!')}/slaves")
    except FileNotFoundError:  # a partition
        return False


def levels() -> dict[str, int]:
    """Memory and swap at this moment, in bytes."""
    memory = psutil.virtual_memory()
    return {
        "memory_used": memory.used,
        "memory_available": memory.available,
        "memory_cached": memory.cached,
        "memory_buffers": memory.buffers,
        "swap_used": _swap().used,
    }


class Figures(NamedTuple):
    """What a window shows of one quantity. A figure that is not known is None.

    ``average`` and ``total_delta`` are named and in units as the table's columns are.
    """

    quantity: str
    average: tuple[str, float | None]
    total_delta: tuple[str, int | None]


def times(before: Reading, now: Reading) -> Iterator[Figures]:
    """Of the CPUs' times: part of all time, and nanoseconds. The time of an idle CPU may go back a little: then 0."""
    passed = {name: max(0, now_ns - before.cpu_ns[name]) for name, now_ns in now.cpu_ns.items()}
    whole_ns = sum(passed.values())
    passed["cpu"] = whole_ns - passed["idle"] - passed["iowait"]
    for name in ("cpu", "iowait", "irq", "softirq"):
        share = 100 * passed[name] / whole_ns if whole_ns else None
        yield Figures(name, (f"{name}_percent_avg", share), (f"{name}_total_delta_ns", passed[name]))


def of_levels(at_start: Mapping[str, int], samples: Sequence[Mapping[str, int]]) -> Iterator[Figures]:
    """Of memory and swap: the mean of the samples, and the last of them minus what there was at the window's start."""
    for name, first in at_start.items():
        mean = sum(sample[name] for sample in samples) / len(samples)
        yield Figures(name, (f"{name}_avg_bytes", mean), (f"{name}_total_delta_bytes", samples[-1][name] - first))


def flows(before: Reading, now: Reading) -> Iterator[Figures]:
    """Of swap and disks: bytes a second, and bytes."""
    seconds = (now.moment_ns - before.moment_ns) / NS_PER_S
    passed: dict[str, int | None] = {name: now.swap[name] - before.swap[name] for name in now.swap}
    for place, name in enumerate(("io_read", "io_written")):
        passed[name] = _transferred(before.disks, now.disks, place)
    for name, total in passed.items():
        rate = None if total is None else total / seconds
        yield Figures(name, (f"{name}_avg_bytes_per_s", rate), (f"{name}_total_delta_bytes", total))


def _transferred(before: _Disks, now: _Disks, place: int) -> int | None:
    """Bytes that all disks read (0) or wrote (1). A disk that has come since counts from 0, one that is gone not."""
    if now is None:
        return None
    known = before or {}
    return sum(max(0, counts[place] - known.get(name, (0, 0))[place]) for name, counts in now.items())


def percent_change(now: float | None, before: float | None) -> float | None:
    """The change in percent of what was before; None if either is not known, or if there was nothing and now is."""
    if now is None or before is None:
        return None
    if now == before:
        return 0.0
    return 100 * (now - before) / before if before else None


@dataclass
class MachineCounters:
    """The table ``machine`` of this machine: one row for each window, by differences from one window to the next.

    Nothing runs in the background: the thread that waits for a window's end calls :meth:`sample` at :attr:`due_ns`.
    """

    window_ns: int
    #: When the next sample is due, CLOCK_MONOTONIC.
    due_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self._every_ns = min(max(self.window_ns // _SAMPLES, _OFTENEST_NS), _RAREST_NS)
        self._averages: dict[str, float | None] = {}
        self._last, self._levels = Reading.now(), levels()
        self._begin()

    def _begin(self) -> None:
        self._samples: list[dict[str, int]] = []
        self.due_ns = time.monotonic_ns() + self._every_ns

    def sample(self) -> None:
        """Sample memory and swap if a sample is due. If no descriptor is left to read by, there is one sample less."""
        now_ns = time.monotonic_ns()
        if now_ns >= self.due_ns:
            self.due_ns = now_ns + self._every_ns
            with suppress_exhaustion():
                self._samples.append(levels())

    def since_last(self) -> dict[str, object] | None:
        """The columns of the window that ends now, name to value; None in a column is null.

        None if no descriptor is left to read by; the next window then has the deltas over both.
        """
        with suppress_exhaustion():
            now, at_end = Reading.now().after(self._last), levels()
            row = self._row(now, [*self._samples, at_end])
            self._last, self._levels = now, at_end
            self._begin()
            return row
        return None

    def _row(self, now: Reading, samples: Sequence[Mapping[str, int]]) -> dict[str, object]:
        row: dict[str, object] = {"machine_ns": now.moment_ns - self._last.moment_ns, "machine_samples": len(samples)}
        before, self._averages = self._averages, {}
        for of in (*times(self._last, now), *of_levels(self._levels, samples), *flows(self._last, now)):
            self._averages[of.quantity] = average = of.average[1]
            change = percent_change(average, before.get(of.quantity))
            row |= dict([of.average, of.total_delta, (f"{of.quantity}_percent_change", change)])
        return row


@contextmanager
def suppress_exhaustion() -> Iterator[None]:
    """Inside the context, an error of the system that has no descriptor or memory left ends the block, and no more."""
    try:
        yield
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
