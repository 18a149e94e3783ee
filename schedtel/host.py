"""What the machine says outside of BPF: names, scheduler, steal, throttling, cgroup paths, our own cost."""

import functools
import os
import resource
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.filters import cgroup_root, is_whole

_SCHED_EXT = Path("/sys/kernel/sched_ext")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
#: Looking for cgroups with a limit may take one part in so many of the time.
_LOOKING_PART = 1000


def running_scheduler(is_eevdf: bool) -> str:
    """Name of the running scheduler: the sched_ext scheduler's when one is enabled, else ``eevdf`` or ``cfs``."""
    try:
        if (_SCHED_EXT / "state").read_text().strip() == "enabled":
            return (_SCHED_EXT / "root" / "ops").read_text().strip()
    except OSError:  # no sched_ext in this kernel, or it was disabled between the two reads
        pass
    return "eevdf" if is_eevdf else "cfs"


def steal_ns() -> int:
    """Time stolen by the hypervisor since boot, all CPUs (the eighth figure of /proc/stat's first line)."""
    with open("/proc/stat", encoding="ascii") as file:
        figures = file.readline().split()
    return int(figures[8]) * _TICK_NS if len(figures) > 8 else 0


def new_run() -> str:
    """A name for a run of a collector, unique in a fleet, in the order of time: ``20260131T235959.123456Z-1a2b3c``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{os.urandom(3).hex()}"


class CgroupPaths:
    """Looks up cgroup paths by id (the inode number of the directory) and remembers those that have gone.

    A container that sees only its own part of the cgroups would call that part ``/``, and the others nothing: there the
    names are the ids, ``id:4711``, which are at least those of the machine.
    """

    def __init__(self) -> None:
        try:
            self.root: Path | None = cgroup_root()
        except CapabilityError:
            self.root = None
        self._named = self.root is None or is_whole(self.root)
        self._paths: dict[int, str] = {}
        self._scanned = -1.0

    def path_of(self, identity: int) -> str | None:
        """Path inside the hierarchy, ``/`` for its root; None when the cgroup was gone before it was ever seen."""
        if not self._named:
            return f"id:{identity}"
        if identity not in self._paths and self._scanned != time.monotonic() // 1:
            self._scan()
        return self._paths.get(identity)

    def _scan(self) -> None:
        self._scanned = time.monotonic() // 1
        if self.root is None:
            return
        for directory, _, _ in os.walk(self.root):
            try:
                self._paths[os.stat(directory).st_ino] = "/" + directory[len(str(self.root)) :].lstrip("/")
            except OSError:  # removed meanwhile
                continue


def _throttled_ns(directory: Path) -> int:
    """Time throttled, from a cgroup's cpu.stat: ``throttled_usec`` in v2, ``throttled_time`` in v1."""
    try:
        for line in (directory / "cpu.stat").read_text().splitlines():
            name, value = line.split()
            if name == "throttled_usec":
                return int(value) * 1000
            if name == "throttled_time":
                return int(value)
    except (OSError, ValueError):
        pass
    return 0


@functools.cache
def _cpu_hierarchy() -> Path | None:
    """The hierarchy that has the cpu controller: a v1 mount with it, else v2. Looked up once, not in every window."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        kind, _, options = source.split(maxsplit=2)
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(fields.split()[4])
    try:
        return cgroup_root()
    except CapabilityError:
        return None


def _is_limited(directory: Path) -> bool:
    """Whether a cgroup has a CPU bandwidth limit: ``cpu.max`` in v2, ``cpu.cfs_quota_us`` in v1."""
    for name, unlimited in (("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")):
        try:
            return (directory / name).read_text().split()[0] != unlimited
        except OSError:  # of the other version, or removed meanwhile
            continue
    return False


class Throttling:
    """Time that cgroups have been throttled by their CPU bandwidth limits.

    A thousand cgroups take 35 ms to visit, so only those with a limit are asked each time. Which these are is looked
    up again when that costs less than a thousandth of the time since: a limit set meanwhile shows from then on.
    """

    def __init__(self) -> None:
        self._root = _cpu_hierarchy()
        self._seen_ns: dict[Path, int] = {}
        self._limited: list[Path] = []
        self._look_again = 0.0
        self.since_last_ns()

    def since_last_ns(self) -> int:
        """What has been added since the last call; a limited cgroup that is new has everything added."""
        if time.monotonic() >= self._look_again:
            self._look()
        now = {directory: _throttled_ns(directory) for directory in self._limited}
        before, self._seen_ns = self._seen_ns, self._seen_ns | now
        return sum(max(0, total - before.get(directory, 0)) for directory, total in now.items())

    def _look(self) -> None:
        if self._root is None:
            return
        begin = time.monotonic()
        visited = [Path(directory) for directory, _, _ in os.walk(self._root)]
        self._limited = [directory for directory in visited if _is_limited(directory)]
        alive = set(visited)
        self._seen_ns = {directory: total for directory, total in self._seen_ns.items() if directory in alive}
        end = time.monotonic()
        self._look_again = end + (end - begin) * _LOOKING_PART


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@dataclass
class HostCounters:
    """Counters that belong in a summary, as differences from one window to the next."""

    is_eevdf: bool
    host: str = field(default_factory=socket.gethostname)
    kernel: str = field(default_factory=lambda: os.uname().release)

    def __post_init__(self) -> None:
        self._throttling, self._last = Throttling(), self._read()

    def _read(self) -> dict[str, int]:
        return {"steal_ns": steal_ns(), "collector_cpu_ns": time.process_time_ns()}

    def since_last(self) -> dict[str, object]:
        """Columns of the summary: what has been counted since the last call, and what is true now."""
        before, self._last = self._last, self._read()
        counted = {name: max(0, value - before[name]) for name, value in self._last.items()}
        names = {"host": self.host, "kernel": self.kernel, "scheduler": running_scheduler(self.is_eevdf)}
        throttled_ns = self._throttling.since_last_ns()
        return {**counted, "throttled_ns": throttled_ns, **names, "collector_rss_bytes": resident_bytes()}
