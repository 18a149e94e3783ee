"""The core loader: a filter in; task records, CPU banks and loss counters of one window at a time out.

Knows the BPF object and nothing of Arrow. The window protocol is described in ``bpf/machine.h``: this side sets the
edges, reads what the programs have frozen, and only then opens the next window.
"""

import mmap
import os
import platform
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np

from schedtel import layout
from schedtel.btf import check_contract
from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.filters import Filter
from schedtel.libbpf import BpfObject, KernelTypes
from schedtel.ring import Ring, opaque

#: The programs, in the order in which they are attached: those that close lives before those that open them.
PROGRAMS = ("on_exit", "on_newtask", "on_exec", "on_arrival", "on_wakeup", "on_switch")
ITERATORS = ("seed", "flush")
#: How far ahead an edge is put that should come at once: setting it must be over when it passes.
_SETTLE_NS = 1_000_000
_MOST_PASSES = 200
_CAPABILITIES = {"CAP_PERFMON": 38, "CAP_BPF": 39}
_CAP_SYS_ADMIN = 21
_OPAQUE = opaque(layout.TASK_RECORD)
DEFAULT_RING_BYTES = 4 << 20


def missing_capabilities() -> list[str]:
    """Which of CAP_BPF and CAP_PERFMON this process lacks; CAP_SYS_ADMIN stands for both."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    if effective >> _CAP_SYS_ADMIN & 1:
        return []
    return [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]


def object_image(name: str = "core") -> bytes:
    """A compiled BPF object of the package: ``core``, or ``core_walk`` for kernels that have its functions."""
    path = resources.files("schedtel") / "_bpf" / f"{name}.bpf.o"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CapabilityError(
            f"cannot find the compiled BPF object {name}.bpf.o in the package (run `make build`, which needs clang)"
        ) from None


def possible_cpus() -> int:
    """One more than the highest CPU number the kernel may ever use."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


@dataclass
class RawWindow:
    """What one window left behind in the kernel.

    ``tasks``: (n,) of ``layout.TASK_RECORD``; ``folded``: (m,) of ``layout.FOLDED``, to be summed into ``other``;
    ``cpus``: (online CPUs,) of ``layout.CPU_BANK`` with ``cpu_numbers`` beside it; ``losses``: counts of this window.
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


class CoreLoader:
    """The BPF side, loaded, attached and seeded. A window runs from construction to the first :meth:`set_edge`."""

    name = "core"

    def __init__(self, task_filter: Filter, ring_bytes: int = DEFAULT_RING_BYTES) -> None:
        if ring_bytes < mmap.PAGESIZE or ring_bytes & (ring_bytes - 1):
            raise UsageError(
                f"cannot use a ring of {ring_bytes} bytes: it must be a power of two, at least {mmap.PAGESIZE}"
            )
        settings = task_filter.settings()
        missing = missing_capabilities()
        if missing:
            raise CapabilityError(
                f"cannot load BPF programs: this user lacks {' and '.join(missing)} "
                "(run as root, or grant them: see `schedtel doctor`)"
            )
        self._cpus = possible_cpus()
        self._ask_kernel()
        self._open(settings, ring_bytes)
        try:
            self._map_memory(ring_bytes)
            self._attach()
            self._seed()
        except BaseException:
            self._object.close()
            raise

    def _ask_kernel(self) -> None:
        with KernelTypes() as kernel:
            arguments = kernel.tracepoint_arguments("sched_switch")
            self.is_eevdf = kernel.has_member("sched_entity", "vlag")
            self._walks = kernel.has_function("bpf_iter_task_new")
            self._guards = kernel.has_function("bpf_preempt_disable")
            self._has_storage = kernel.has_function("bpf_task_storage_get")
        if arguments is None:
            raise CapabilityError("cannot attach to sched_switch: this kernel's BTF has no such tracepoint")
        self._has_prev_state = arguments >= 4

    def _open(self, settings: dict[str, object], ring_bytes: int) -> None:
        """Load the object that fits the kernel best; a verifier that refuses the walk gets the iterators."""
        # The guard against preemption is tried first. Verifiers that refuse it (they allow no global function in it)
        # are of kernels that do not need it.
        for guard in (1, 0) if self._guards else (0,):
            if self._walks and self._try("core_walk", settings | {"disable_preemption": guard}, ring_bytes):
                return
        self._walks = False
        try:
            self._load("core", settings, ring_bytes)
        except CapabilityError:
            if self._has_storage:
                raise
            # Asked only now: a kernel that loads the programs is right whatever its BTF says.
            raise CapabilityError(
                "cannot use the core loader: this kernel has no BPF task storage (use Linux 5.15 or later)"
            ) from None

    def _try(self, name: str, settings: dict[str, object], ring_bytes: int) -> bool:
        try:
            self._load(name, settings, ring_bytes)
        except CapabilityError:
            return False
        return True

    def _load(self, name: str, settings: dict[str, object], ring_bytes: int) -> None:
        self._object = BpfObject(object_image(name))
        try:
            self._set_up(settings, ring_bytes)
            self._object.load()
        except BaseException:
            self._object.close()
            raise

    def _set_up(self, settings: dict[str, object], ring_bytes: int) -> None:
        check_contract(self._object.raw_btf(), layout.CONTRACT)
        values = np.zeros(1, layout.SETTINGS)
        values["has_prev_state"] = self._has_prev_state
        values["weak_memory"] = platform.machine() not in ("x86_64", "i686")
        values["wakeup_bytes"] = ring_bytes // 4
        values["cpus"] = self._cpus
        for field, value in settings.items():
            values[field] = value
        self._object.set_initial_value("schedtel.rodata", values.tobytes())
        self._object.set_max_entries("cpus", self._cpus)
        self._object.set_max_entries("ring", ring_bytes)

    def _map_memory(self, ring_bytes: int) -> None:
        self._control_map = mmap.mmap(self._object.map_fd("schedtel.bss"), layout.CONTROL.itemsize, mmap.MAP_SHARED)
        self._control = np.frombuffer(self._control_map, layout.CONTROL, count=1)[0]
        cpu_bytes = self._cpus * layout.CPU_STATE.itemsize
        self._cpu_map = mmap.mmap(self._object.map_fd("cpus"), cpu_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        self._cpu_states = np.frombuffer(self._cpu_map, layout.CPU_STATE, count=self._cpus)
        self._ring = Ring(self._object.map_fd("ring"), ring_bytes, layout.TASK_RECORD)
        self._control["ring_bytes"] = ring_bytes
        self._epoll = select.epoll()
        self._epoll.register(self._object.map_fd("ring"), select.EPOLLIN | select.EPOLLET)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN | select.EPOLLET)
        self._pending: list[np.ndarray] = []

    def _attach(self) -> None:
        grid = self._control["grid"]
        grid["edge_ns"][:] = np.iinfo(np.uint64).max
        grid["edge_ns"][0] = 0
        grid["window"] = 1
        for iterator in () if self._walks else ITERATORS:
            self._object.attach_iterator(iterator)
        for program in PROGRAMS:
            self._object.attach(program)

    def _seed(self) -> None:
        """Read the seeding iterator until every task has a known state."""
        for passes in range(_MOST_PASSES):
            self._control["tasks_unknown"] = 0
            self._run_iterator("seed")
            unknown = int(self._control["tasks_unknown"])
            if not unknown:
                break
            if not passes:
                at_first = unknown
        else:
            if unknown >= at_first:
                raise CapabilityError(
                    "cannot follow any task: the kernel gives BPF programs no memory for task storage "
                    "(on recent kernels it needs a CPU with cmpxchg16b: see `grep cx16 /proc/cpuinfo`)"
                )
        self._losses = self._count_losses()
        self._bpf_ns = self._count_bpf_ns()

    # ---- windows ----

    @property
    def window(self) -> int:
        """Number of the window that is open."""
        return int(self._control["grid"]["window"])

    def open_first(self, end_ns: int) -> int:
        """End the warm-up shortly from now and open the first real window; returns its start."""
        start = self.end_now()
        self._sleep_past(start)
        self._flush()  # its records are dropped, but the CPU time of its tasks is part of their lives
        self._advance(lambda _: end_ns)
        self._losses = self._count_losses()
        return start

    @property
    def edge_ns(self) -> int:
        """Where the open window ends."""
        return int(self._control["grid"]["edge_ns"][self.window & 3])

    def end_now(self) -> int:
        """Move the open window's end to the nearest safe moment; returns it."""
        end = time.monotonic_ns() + _SETTLE_NS
        if end >= self.edge_ns:  # it is about to end by itself, or has
            return self.edge_ns
        self._control["grid"]["edge_ns"][self.window & 3] = end
        self._check_ahead(end)
        return end

    def wait(self, deadline_ns: int) -> None:
        """Sleep until the ring asks to be drained, or until the deadline; then drain."""
        remaining = max(0, deadline_ns - time.monotonic_ns())
        self._epoll.poll(min(remaining / 1e9, 3600.0))
        self._drain()

    def wake(self) -> None:
        """Make a :meth:`wait` return at once. Safe in a signal handler and from another thread."""
        os.eventfd_write(self._wake_fd, 1)

    def collect(self, edge_after: Callable[[int], int]) -> RawWindow:
        """Read the window whose end has passed and open the next one, until edge_after(now)."""
        number, grid = self.window, self._control["grid"]
        start, end = (int(grid["edge_ns"][n & 3]) for n in (number - 1, number))
        self._sleep_past(end)
        self._flush()
        cpu_numbers = np.array([cpu for cpu in sorted(_online_cpus()) if cpu < self._cpus])
        cpus = np.concatenate([self._cpu_at_edge(cpu, number, start, end) for cpu in cpu_numbers])
        self._drain()  # of lives that ended while the flush passed them over; their CPUs have been waited for
        folded = np.concatenate([np.array([self._control["other"]], layout.FOLDED), cpus["other"]])
        self._advance(edge_after)
        tasks = self._take(number)
        losses, bpf_ns = self._losses_since(), self._bpf_ns_since()
        return RawWindow(number, start, end, tasks, folded, cpus, cpu_numbers, losses, bpf_ns)

    def _sleep_past(self, moment_ns: int) -> None:
        while (remaining := moment_ns - time.monotonic_ns()) >= 0:
            time.sleep((remaining + 1000) / 1e9)

    def _advance(self, edge_after: Callable[[int], int]) -> None:
        """Open the next window. Its end is written first: programs read it only once the number has changed."""
        grid, number = self._control["grid"], self.window + 1
        end = edge_after(time.monotonic_ns())
        grid["edge_ns"][number & 3] = end
        grid["window"] = number
        self._check_ahead(end)

    def _check_ahead(self, end_ns: int) -> None:
        """Held up while setting an edge until it was past: tasks may disagree about it, and the window says so."""
        if time.monotonic_ns() >= end_ns:
            self._control["losses"]["state_failed"] += 1

    def _flush(self) -> None:
        """Have every task reported for the open window; a task caught in the middle of a change is asked again."""
        self._control["other"] = np.zeros((), layout.FOLDED)
        for _ in range(_MOST_PASSES):
            self._control["tasks_busy"] = 0
            self._run_iterator("flush")
            self._drain()
            if not self._control["tasks_busy"]:
                return
            time.sleep(0)
        self._control["losses"]["state_failed"] += self._control["tasks_busy"]

    def _run_iterator(self, name: str) -> None:
        """Visit every task once, draining the ring whenever the program asks for it."""
        if self._walks:
            self._walk(name)
        else:
            self._read(name)

    def _walk(self, name: str) -> None:
        while self._object.run(name):
            if not self._drain():  # another CPU has not finished its record: the next pass goes on
                self._control["tasks_busy"] += 1
                return

    def _read(self, name: str) -> None:
        fd = self._object.open_iterator(name)
        try:
            while _read_byte(fd, name):
                self._drain()
        finally:
            os.close(fd)

    def _drain(self) -> bool:
        """Take what is in the ring; True when there was anything."""
        records = self._ring.drain()
        if len(records):
            self._pending.append(records)
        return len(records) > 0

    def _take(self, number: int) -> np.ndarray:
        """The pending records of one window; later ones stay, earlier ones (the warm-up's) go."""
        records = np.concatenate([np.zeros(0, _OPAQUE), *(part.view(_OPAQUE) for part in self._pending)])
        windows = records.view(layout.TASK_RECORD)["window"]
        self._pending = [records[windows > number].view(layout.TASK_RECORD)]
        return (records if (windows == number).all() else records[windows == number]).view(layout.TASK_RECORD)

    def _cpu_at_edge(self, cpu: int, number: int, start: int, end: int) -> np.ndarray:
        """One CPU's bank as it stood at the window's end: shape (1,)."""
        state = self._cpu_states[cpu : cpu + 1]
        while True:
            before = state["word"].copy()
            newest, since = int(state["window"][0]), int(state["since_ns"][0])
            bank = state["bank"][:, number & 1].copy() if newest >= number else np.zeros(1, layout.CPU_BANK)
            if newest <= number:
                bank["time_ns"][0, before["phase"][0]] += max(0, end - max(since, start))
            # Checked for a frozen bank too: a life that ends just now may fold its owed row into it.
            if not before["seq"][0] & 1 and state["word"][0] == before[0]:
                break
            time.sleep(0)
        # No switch and no running task was seen since attach: nothing has run there.
        bank["time_ns"][0, layout.CPU_IDLE] += bank["time_ns"][0, layout.CPU_UNKNOWN]
        return bank

    # ---- what was lost, and what looking cost ----

    def _count_losses(self) -> dict[str, int]:
        counts = {name: int(self._control["losses"][name]) for name in layout.LOSSES.names or ()}
        skipped = sum(self._object.program_info(name).recursion_misses for name in PROGRAMS)
        return counts | {"programs_skipped": skipped + counts.pop("events_missed")}

    def _losses_since(self) -> dict[str, int]:
        before, self._losses = self._losses, self._count_losses()
        return {name: count - before[name] for name, count in self._losses.items()}

    def _count_bpf_ns(self) -> int:
        return sum(self._object.program_info(name).run_time_ns for name in (*PROGRAMS, "flush"))

    def _bpf_ns_since(self) -> int | None:
        before, self._bpf_ns = self._bpf_ns, self._count_bpf_ns()
        return self._bpf_ns - before if self._bpf_ns > before else None

    def run_counts(self) -> dict[str, tuple[int, int]]:
        """Runs and nanoseconds of each program since load; zeros unless ``kernel.bpf_stats_enabled`` is 1."""
        infos = {name: self._object.program_info(name) for name in (*PROGRAMS, *ITERATORS)}
        return {name: (info.run_cnt, info.run_time_ns) for name, info in infos.items()}

    def close(self) -> None:
        """Detach and unload. What has been drained stays valid."""
        self._epoll.close()
        os.close(self._wake_fd)
        self._object.close()


def _read_byte(fd: int, name: str) -> bool:
    """Run an iterator on; True when it asks for the ring to be drained, False at its end."""
    while True:
        try:
            return bool(os.read(fd, 1))
        except BlockingIOError:  # a million tasks without output (kernel/bpf/bpf_iter.c): go on
            continue
        except OSError as error:
            raise CollectorError(f"cannot run BPF iterator {name}: {error.strerror} (restart schedtel)") from error


def _online_cpus() -> set[int]:
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        text = file.read().strip()
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus
