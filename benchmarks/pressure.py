"""Provoked pressure: producers that contend for the ring, storms of exits, a ring that is too small.

Every exit must be accounted for, by a row or by ``ring_dropped``.
"""

import json
import mmap
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import builds, kernel, peers, workloads
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, row
from benchmarks.watched import watched
from schedtel.kernel.libbpf import BpfObject
from schedtel.records import layout

PART = "pressure"
ROUNDS = 5
#: Records of one run, as in bpf/ring.bpf.c; and the number of runs, of all producers together, that fit into its ring.
_BATCH, _ALL_RUNS = 4096, 20
_EXITS = 20_000
_SMALL_RING = 1 << 18
_TRY_FOR_S = 15.0


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    rows = _contention(plan.rounds(ROUNDS))
    rows += [line for lanes in (1, os.cpu_count() or 1, 16) for line in _storm(lanes)]
    return rows + _small_ring(plan.rounds(3)), []


# ---- the ring's lock ----


def _contention(rounds: int) -> list[Row]:
    """Time to reserve, fill and submit a record, when 1 … all CPUs at once write into one ring."""
    ring = BpfObject(builds.bpf_object("ring", RECORD_BYTES=layout.TASK_RECORD.itemsize))
    try:
        ring.load()
        cpus = sorted(os.sched_getaffinity(0))
        numbers = sorted({1, 2, len(cpus) // 2, len(cpus)} - {0})
        return [_contended(ring, cpus[:count], rounds) for count in numbers if count <= len(cpus)]
    finally:
        ring.close()


def _contended(ring: BpfObject, cpus: list[int], rounds: int) -> Row:
    samples = [_producers_ns(ring, cpus, _ALL_RUNS // len(cpus)) for _ in range(rounds)]
    return row(f"a record into the ring, {len(cpus)} producers at once", "schedtel", "ns", samples)


def _producers_ns(ring: BpfObject, cpus: list[int], runs: int) -> float:
    """Mean nanoseconds of a record in each producer's wall time.

    Raises :class:`BenchmarkError` when a record did not get into the ring.
    """
    _empty(ring)
    durations_ns: list[int] = []
    start = threading.Barrier(len(cpus))
    producers = [threading.Thread(target=_produce, args=(ring, cpu, runs, start, durations_ns)) for cpu in cpus]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    if len(durations_ns) < len(cpus):
        raise BenchmarkError("the ring's producers did not fill it: it was full, or a run failed")
    return sum(durations_ns) / len(durations_ns) / runs / _BATCH


def _produce(ring: BpfObject, cpu: int, runs: int, start: threading.Barrier, durations_ns: list[int]) -> None:
    os.sched_setaffinity(0, {cpu})
    start.wait()
    begin = time.perf_counter_ns()
    sent = sum(ring.run("produce") for _ in range(runs))
    if sent == runs * _BATCH:
        durations_ns.append(time.perf_counter_ns() - begin)


def _empty(ring: BpfObject) -> None:
    """Set the consumer position (first page of the ring) to the producer position (second page)."""
    size = mmap.PAGESIZE
    with (
        mmap.mmap(ring.map_fd("ring"), size, mmap.MAP_SHARED) as consumer,
        mmap.mmap(ring.map_fd("ring"), size, mmap.MAP_SHARED, mmap.PROT_READ, offset=size) as producer,
    ):
        consumer[:8] = producer[:8]


# ---- exits ----


def _storm(lanes: int) -> list[Row]:
    """Threads that begin and end in ``lanes`` processes while ``schedtel live`` drains: rate, run time, rows, drops."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "windows.ndjson"
        with output.open("wb") as file:
            collector = subprocess.Popen(peers.schedtel_command("500ms"), stdout=file, stderr=subprocess.DEVNULL)
            try:
                _wait_for_line(output)
                rate, exit_ns = _exits(collector.pid, lanes)
                time.sleep(1)
            finally:
                collector.terminate()
                collector.wait(10)
        summaries = [json.loads(line)["summary"] for line in output.read_text().splitlines()]
    name = f"exit storm, {lanes} lanes"
    completed, dropped = (sum(one[column] for one in summaries) for column in ("tasks_completed", "ring_dropped"))
    return [
        row(f"{name}: rate", "schedtel", "exits/s", [rate]),
        row(f"{name}: exit program, counted", "schedtel", "ns/run", [exit_ns]),
        row(f"{name}: ring_dropped", "schedtel", "exits", [dropped]),
        row(f"{name}: rows and drops for each exit made", "schedtel", "ratio", [(completed + dropped) / _EXITS]),
    ]


def _wait_for_line(output: Path) -> None:
    deadline = time.monotonic() + _TRY_FOR_S
    while b"\n" not in output.read_bytes():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"schedtel live wrote no window in {_TRY_FOR_S:g} s")
        time.sleep(0.1)


def _exits(pid: int, lanes: int) -> tuple[float, float]:
    """Exits a second, and the mean nanoseconds of a run of the exit program."""
    with kernel.counting():
        before = kernel.program_runs(pid)["on_exit"]
        nanoseconds = workloads.lives_ns(_EXITS, lanes)
        runs = kernel.program_runs(pid)["on_exit"].since(before)
    return _EXITS * 1e9 / nanoseconds, runs.mean_ns


def _small_ring(rounds: int) -> list[Row]:
    """A ring of 256 KB and a collector that does not drain it: records that do not fit must be counted as dropped."""
    dropped, accounted = [], []
    with watched(_SMALL_RING) as subject:
        for _ in range(rounds):
            raw = subject.raw(lambda: workloads.lives_ns(_EXITS // 4))
            completed = int((raw.tasks["completion_ns"] != 0).sum())
            dropped.append(float(raw.losses["ring_dropped"]))
            accounted.append((completed + dropped[-1]) / (_EXITS // 4))
    name = f"{_EXITS // 4:,} exits into {_SMALL_RING >> 10} KB undrained"
    return [
        row(f"{name}: ring_dropped", "schedtel", "exits", dropped),
        row(f"{name}: rows and drops for each exit made", "schedtel", "ratio", accounted),
    ]
