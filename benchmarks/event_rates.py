"""Rates of events in; what `schedtel events record` loses of them, and the CPU time and memory that they take, out."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import builds, kernel, recorders, workloads
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, Target, row
from schedtel.kernel.libbpf import BpfObject
from schedtel.records.event_layout import EVENT, EVENT_RING

_ROUNDS, _PATIENCE_S = 3, 60
#: Round trips of each of the pipes, which take some two seconds.
_TRIPS = 350_000
#: Events of a run of bpf/burst.bpf.c, how many it is to write in a second, and for how long.
_BATCH, _PER_S, _FOR_S = 4096, 5_000_000, 3
_LOST = Target(0)
#: An event that no ring had room for. Other gaps are of events that the kernel has not delivered to anybody.
_CAUSE = "ring_full"


def measure(plan: Plan) -> list[Row]:
    """The rows of both loads."""
    pipes = [_recorded(_pipes) for _ in range(plan.rounds(_ROUNDS))]
    with _sleeper() as pid:  # its events are all that the recorder selects, so that the producer is alone on its CPU
        bursts = [_recorded(_burst, "--pid", str(pid)) for _ in range(plan.rounds(_ROUNDS))]
    return [*_rows("a pinned pipe on each CPU", pipes), *_rows("from a BPF program", bursts)]


def _recorded(load: Callable[[int], None], *arguments: str) -> dict[str, float]:
    """Figures of a recording of a load, which gets the recorder's pid."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recorded"
        command = recorders.events_command(path, *arguments)
        _, took = recorders.recorded(command, recorders.wait_for_programs, lambda recording: load(recording.pid))
        return {
            "rate": recorders.events_in(path) / took.lasted_ns * 1e3,
            "lost": float(lost_in(path)),
            "cpu": took.cpu_ns / took.lasted_ns * 100,
            "resident": took.resident_mb,
        }


def lost_in(path: Path) -> int:
    """Events that the table ``gaps`` says were lost in a ring."""
    rows = [gap for part in (path / "gaps").glob("*.parquet") for gap in pq.read_table(part).to_pylist()]
    return sum(gap["events"] for gap in rows if gap["cause"] == _CAUSE)


def _pipes(_pid: int) -> None:
    threads = [threading.Thread(target=workloads.pipe, args=(_TRIPS, cpu)) for cpu in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _burst(pid: int) -> None:
    """Write events into the recorder's ring of one CPU, at an even rate."""
    with _shared(pid) as producer:
        os.sched_setaffinity(0, {workloads.pinned_cpu()})
        due = time.monotonic()
        for _ in range(_PER_S * _FOR_S // _BATCH):
            if producer.run("produce") != _BATCH:
                raise BenchmarkError("the program that writes events did not write all")
            due = max(due + _BATCH / _PER_S, time.monotonic())  # what is late is not made up for at a higher rate
            time.sleep(due - time.monotonic() if due > time.monotonic() else 0)


@contextmanager
def _shared(pid: int) -> Iterator[BpfObject]:
    """The producer, loaded, with the rings of a recorder; it may use all CPUs again afterwards."""
    cpus = os.sched_getaffinity(0)
    producer = BpfObject(builds.bpf_object("burst"))
    try:
        for name, values in {"rings": EVENT_RING, "events": EVENT}.items():
            fd = kernel.open_map(pid, values.itemsize)
            producer.use_map(name, fd)
            os.close(fd)
        producer.load()
        yield producer
    finally:
        producer.close()
        os.sched_setaffinity(0, cpus)


@contextmanager
def _sleeper() -> Iterator[int]:
    """The pid of a process that does nothing."""
    process = subprocess.Popen(["sleep", "infinity"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _rows(load: str, samples: list[dict[str, float]]) -> list[Row]:
    units = {
        "rate": ("events", "million/s", None),
        "lost": ("lost events", "events", _LOST),
        "cpu": ("CPU time of the recorder", "% of a CPU", None),
        "resident": ("memory of the recorder", "MB", None),
    }
    subject = "schedtel events record"
    return [
        row(f"{load}: {title}", subject, unit, [one[key] for one in samples], target)
        for key, (title, unit, target) in units.items()
    ]
