"""How cost grows: with threads asleep and active, with switches a second, with cgroups, and with the window's length.

Cost should grow with activity. A sleeping task costs only the walk past it at a window's end, which has its own rows.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import kernel, limits, peers, process, workloads
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, point
from benchmarks.watched import Watched, WindowCost, duration_ns, watched
from schedtel.host.cgroups import CgroupPaths, cgroup_root
from schedtel.host.counters import HostCounters
from schedtel.windows.build import build

PART = "growth"
ROUNDS = 5
_THREADS, _THREADS_LARGE = (1_000, 3_000, 10_000), (20_000, 50_000)
_RATES = (1_000, 10_000, 50_000, 100_000, 300_000)
_CGROUPS, _PROCESSES = (1, 10, 100, 1_000), 1_000
#: Seconds.
_WINDOWS, _WINDOWS_LARGE = (0.1, 1.0, 5.0), (15.0, 60.0)
_SOME = 300
_LOAD_MS = 1_000
_HOT = ("on_switch", "on_wakeup")
_CGROUP = f"schedtel-bench-{os.getpid()}"


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    rows, notes = _by_threads(plan)
    rows += [line for rate in _RATES for line in _at_rate(rate, plan.rounds(3))]
    cgroups, more_notes = _by_cgroups(plan.rounds(ROUNDS))
    lengths = _WINDOWS + (_WINDOWS_LARGE if plan.large else ())
    rows += cgroups + [line for seconds in lengths for line in _with_window(seconds)]
    return rows, notes + more_notes


# ---- threads ----


def _by_threads(plan: Plan) -> tuple[list[Row], list[str]]:
    asked, most = _THREADS + (_THREADS_LARGE if plan.large else ()), limits.most_threads()
    rows = [line for count in asked if count <= most for line in _with_threads(count, plan.rounds(ROUNDS))]
    notes = [f"growth: {count:,} threads do not fit into this machine's memory" for count in asked if count > most]
    return rows, notes if plan.large else [*notes, "growth: up to 50,000 threads and windows of a minute with --large"]


def _with_threads(count: int, rounds: int) -> list[Row]:
    with limits.room_for_threads(count), workloads.workers(count) as load:
        begin = time.perf_counter_ns()
        with watched() as subject:
            seeded = time.perf_counter_ns() - begin
            asleep = _windows(subject, lambda: None, rounds)
            some = _windows(subject, lambda: load.pulse(_SOME), rounds)
            every = _windows(subject, load.pulse, rounds)
    rows = [_point("load, attach, seed", "ms", [seeded / 1e6], "threads", count)]
    for activity, costs in (("all asleep", asleep), (f"{_SOME} active", some), ("all active", every)):
        rows.append(_point(f"flush, {activity}", "ms", [cost.flush_ns / 1e6 for cost in costs], "threads", count))
        rows.append(_point(f"batch to Arrow, {activity}", "ms", [c.arrow_ns / 1e6 for c in costs], "threads", count))
    walk = [cost.flush_ns / cost.folded for cost in asleep]
    share = [walked * cost.folded / cost.flush_ns for walked, cost in zip(walk, some, strict=True)]
    rows.append(_point("walk past a sleeping task", "ns/task", walk, "threads", count))
    rows.append(_point(f"share of sleepers in the flush, {_SOME} active", "ratio", share, "threads", count))
    rows.append(
        _point("flush of an active task, all active", "ns/task", [c.flush_ns / c.rows for c in every], "threads", count)
    )
    return rows


def _windows(subject: Watched, work: Callable[[], object], rounds: int) -> list[WindowCost]:
    subject.window(work)
    return [subject.window(work) for _ in range(rounds)]


def _point(measure: str, unit: str, samples: list[float], axis: str, at: float) -> Row:
    return point(measure, "schedtel", unit, samples, axis, at)


# ---- switches a second ----


def _at_rate(rate: int, rounds: int) -> list[Row]:
    """Rows at one rate of switches.

    BPF time is the kernel's count, which includes the cost of counting (about 30 ns a run); flushes are not in it.
    """
    axis = ("switches/s asked for", rate)
    with watched() as subject, kernel.counting():
        samples = [_rate_sample(subject, rate) for _ in range(rounds)]
    achieved, bpf, flush, lost = (list(column) for column in zip(*samples, strict=True))
    return [
        _point("switches made", "1/s", achieved, *axis),
        _point("BPF time of switches and wakeups", "% of a CPU", bpf, *axis),
        _point("flush", "ms", flush, *axis),
        _point("lost (ring, state, samples)", "1", lost, *axis),
    ]


def _rate_sample(subject: Watched, rate: int) -> tuple[float, float, float, float]:
    achieved: list[float] = []
    before, begin = subject.counts(), time.perf_counter_ns()
    cost = subject.window(lambda: achieved.append(workloads.switches_per_second(rate, _LOAD_MS)))
    seconds_ns, after = time.perf_counter_ns() - begin, subject.counts()
    bpf_ns = sum(after[name][1] - before[name][1] for name in _HOT)
    lost = sum(count for name, count in cost.losses.items() if name != "programs_skipped")
    return achieved[0], 100 * bpf_ns / seconds_ns, cost.flush_ns / 1e6, lost


# ---- cgroups ----


def _by_cgroups(rounds: int) -> tuple[list[Row], list[str]]:
    try:
        root = cgroup_root()
        with workloads.workers(_PROCESSES, "processes") as load:
            return [line for count in _CGROUPS for line in _with_cgroups(root, count, load, rounds)], []
    except (BenchmarkError, OSError) as error:
        return [], [f"growth: cgroups not measured: {error}"]


def _with_cgroups(root: Path, count: int, load: workloads.Workers, rounds: int) -> list[Row]:
    """The same processes in ``count`` cgroups: the time of a window's end, from the kernel's records to groups."""
    with _spread(root, count, load.pids), watched() as subject:
        host = HostCounters(is_eevdf=True)
        samples = [_cgroup_sample(subject, load, host) for _ in range(rounds)]
    built, grouped = (list(column) for column in zip(*samples, strict=True))
    name = f"{_PROCESSES:,} active processes"
    return [
        _point(f"window built, {name}, paths looked up anew", "ms", built, "cgroups", count),
        _point(f"groups(by='cgroup'), {name}", "ms", grouped, "cgroups", count),
    ]


def _cgroup_sample(subject: Watched, load: workloads.Workers, host: HostCounters) -> tuple[float, float]:
    raw, windows = subject.raw(load.pulse), []
    counters = host.since_last(raw.end_ns)
    built = duration_ns(lambda: windows.append(build(raw, 1, 1, time.time_ns(), counters, CgroupPaths())))
    return built / 1e6, duration_ns(lambda: windows[0].groups(by="cgroup")) / 1e6


@contextmanager
def _spread(root: Path, count: int, pids: list[int]) -> Iterator[None]:
    """Spread processes over ``count`` new cgroups; afterwards, move them to the root and remove the cgroups."""
    top = root / _CGROUP
    top.mkdir()
    cgroups = [top / str(number) for number in range(count)]
    try:
        for path in cgroups:
            path.mkdir()
        for number, pid in enumerate(pids):
            (cgroups[number % count] / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for pid in pids:
            with suppress(OSError):  # the process has ended
                (root / "cgroup.procs").write_text(str(pid))
        for path in (*cgroups, top):
            with suppress(FileNotFoundError):
                path.rmdir()


# ---- the window's length ----


def _with_window(seconds: float) -> list[Row]:
    """CPU and memory of ``schedtel live --format ndjson`` over two windows or more; all tasks wake up in each."""
    lasting, axis = max(4.0, 2 * seconds), ("window, s", seconds)
    with workloads.workers(_SOME) as load, peers.schedtel(seconds).watching() as pid:
        _pulse(load, min(seconds, 5.0) + 1.5, seconds)
        begin, before = time.monotonic(), process.cpu_ns(pid)
        _pulse(load, lasting, seconds)
        percent = (process.cpu_ns(pid) - before) / 1e7 / (time.monotonic() - begin)
        resident = process.resident_mb(pid)
    return [
        _point(f"collector CPU, {_SOME} active tasks", "% of a CPU", [percent], *axis),
        _point(f"collector RSS, {_SOME} active tasks", "MB", [resident], *axis),
    ]


def _pulse(load: workloads.Workers, lasting_s: float, every_s: float) -> None:
    end = time.monotonic() + lasting_s
    while time.monotonic() < end:
        load.pulse()
        time.sleep(min(every_s, max(0.0, end - time.monotonic())))
