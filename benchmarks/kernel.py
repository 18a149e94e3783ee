"""A pid in; its BPF programs and maps out, from the kernel's accounting: run times, sizes, attachment."""

import ctypes
import functools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import BenchmarkError
from schedtel.kernel.libbpf import ProgInfo, libbpf

_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
#: enum bpf_prog_type (include/uapi/linux/bpf.h): kprobe, tracepoint, perf_event, raw_tracepoint, …_writable, tracing.
_OBSERVERS = {2, 5, 7, 17, 24, 26}
_PROG_TYPE_SYSCALL = 31
#: A program of another type that schedtel runs itself and never attaches.
_CALLED = b"count_now"
_INSTRUCTION_BYTES = 8
_NAME_LENGTH = 15


@dataclass(frozen=True)
class Runs:
    """Runs and run time of one program, as the kernel has counted them since it was loaded."""

    runs: int
    run_time_ns: int

    def since(self, before: "Runs") -> "Runs":
        return Runs(self.runs - before.runs, self.run_time_ns - before.run_time_ns)

    @property
    def mean_ns(self) -> float:
        return self.run_time_ns / self.runs


@dataclass(frozen=True)
class Size:
    """Size of a program after the verifier: BPF instructions, and bytes of machine code."""

    instructions: int
    machine_bytes: int


@contextmanager
def counting() -> Iterator[None]:
    """Set kernel.bpf_stats_enabled to 1 inside the context; always restore its previous value."""
    previous = _STATS.read_text()
    _STATS.write_text("1\n")
    try:
        yield
    finally:
        _STATS.write_text(previous)


def kept(name: str) -> str:
    """The part of a program's name that the kernel keeps."""
    return name[:_NAME_LENGTH]


def counts() -> bool:
    """Whether the kernel times every run of every BPF program, which costs about 30 ns a run in all peers."""
    return _STATS.read_text().strip() != "0"


@functools.cache
def _library() -> ctypes.CDLL:
    """libbpf, for calls about other processes' programs, which schedtel's own wrapper does not have."""
    return ctypes.CDLL(libbpf().soname)


def _program_info(identity: int) -> ProgInfo | None:
    """BPF_OBJ_GET_INFO of one program by its id; None if it has been freed."""
    fd = _library().bpf_prog_get_fd_by_id(identity)
    if fd < 0:
        return None
    try:
        info, size = ProgInfo(), ctypes.c_uint32(ctypes.sizeof(ProgInfo))
        failed = libbpf().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size))
        return None if failed else info
    finally:
        os.close(fd)


def _descriptors(pid: int, kind: str) -> list[str]:
    """The fdinfo of every file descriptor of one kind (``bpf-prog``, ``bpf_link``) that a process holds."""
    descriptions = []
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):  # the file has been closed
            if os.readlink(path) in (f"anon_inode:{kind}", f"anon_inode:[{kind}]"):
                descriptions.append(Path(f"/proc/{pid}/fdinfo/{path.name}").read_text())
    return descriptions


def _numbers(texts: list[str], name: str) -> list[int]:
    """A field's value in each fdinfo that has it."""
    matches = (re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE) for text in texts)
    return [int(number[1]) for number in matches if number]


def program_ids(pid: int) -> set[int]:
    """Ids of the BPF programs that a process has loaded and holds."""
    return set(_numbers(_descriptors(pid, "bpf-prog"), "prog_id"))


def is_attached(pid: int) -> bool:
    """Whether a process holds BPF programs to attach, and at least as many links and perf events together."""
    called = f"prog_type:\t{_PROG_TYPE_SYSCALL}\n"  # the process runs these itself and never attaches them
    programs = [text for text in _descriptors(pid, "bpf-prog") if called not in text]
    programs = programs[sum(info.name == _CALLED for info in _infos(pid)) :]
    return 0 < len(programs) <= len(_descriptors(pid, "bpf_link")) + perf_events(pid)


def perf_events(pid: int) -> int:
    """The number of perf events that a process holds."""
    return len(_descriptors(pid, "perf_event"))


def map_bytes(pid: int) -> int:
    """Bytes of the BPF maps of a process (memlock). It does not contain task storage: see footprint."""
    maps = _descriptors(pid, "bpf-map")
    by_id = dict(zip(_numbers(maps, "map_id"), _numbers(maps, "memlock"), strict=True))
    return sum(by_id.values())


def open_map(pid: int, value_bytes: int) -> int:
    """A descriptor of the one map of a process whose values have this size. The caller closes it.

    Raises :class:`BenchmarkError` where there is none, or more than one.
    """
    maps = [text for text in _descriptors(pid, "bpf-map") if _numbers([text], "value_size") == [value_bytes]]
    identities = set(_numbers(maps, "map_id"))
    fd = _library().bpf_map_get_fd_by_id(*identities) if len(identities) == 1 else -1
    if fd < 0:
        raise BenchmarkError(f"process {pid} has {len(identities)} maps with values of {value_bytes} bytes, not one")
    return int(fd)


def _infos(pid: int) -> list[ProgInfo]:
    return [info for identity in program_ids(pid) if (info := _program_info(identity))]


def program_runs(pid: int) -> dict[str, Runs]:
    """Name → runs of each BPF program that a process holds."""
    return {info.name.decode(): Runs(info.run_cnt, info.run_time_ns) for info in _infos(pid)}


def program_sizes(pid: int) -> dict[str, Size]:
    """Name → size of each BPF program that a process holds. ``head`` ends with jited_prog_len, xlated_prog_len."""
    return {info.name.decode(): Size(info.head[5] // _INSTRUCTION_BYTES, info.head[4]) for info in _infos(pid)}


def observer_ids() -> set[int]:
    """Ids of the BPF programs of all processes whose type can slow the scheduler's tracepoints down."""
    ids, identity = set(), ctypes.c_uint32(0)
    while _library().bpf_prog_get_next_id(identity, ctypes.byref(identity)) == 0:
        info = _program_info(identity.value)
        if info and info.head[0] in _OBSERVERS:
            ids.add(identity.value)
    return ids


def wait_until_gone(identities: set[int], patience_s: float = 3.0) -> None:
    """Wait until the kernel has freed these programs, a moment after their process has ended.

    Otherwise they could slow down the next sample.
    """
    deadline = time.monotonic() + patience_s
    while identities & observer_ids() and time.monotonic() < deadline:
        time.sleep(0.01)
