"""Sizes: programs, kernel memory for each task (measured and calculated), maps, Parquet bytes of a window.

A task's kernel memory is its task storage. Of the 8,000 measured tasks, some 3,800 are in the task cache and have no
task storage. The maps of schedtel contain the task cache but not task storage. The maps of its backend bcc and of the
peers contain their tasks.
"""

import subprocess
import tempfile
import time
from pathlib import Path
from unittest import mock

from benchmarks import kernel, peers, process, workloads
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, row
from benchmarks.rungs import STATE_BYTES
from benchmarks.watched import watched
from schedtel.kernel.core import programs
from schedtel.records import layout

PART = "footprint"
ROUNDS, TASKS = 3, 8_000
_WINDOWS, _ACTIVE = 6, 300
#: struct bpf_local_storage_elem and _data up to the value (include/linux/bpf_local_storage.h), rounded up.
_ELEMENT_HEAD_BYTES = 72
#: struct bpf_local_storage, one for each task: 16 cached elements, a list, an owner, a lock.
_STORAGE_BYTES = 192
#: A CPU's banks and its preemption pairs.
_CPU_BYTES = layout.CPU_STATE.itemsize + layout.PREEMPTIONS.itemsize


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    rows = _sizes() + _maps() + _calculated()
    samples = [_slab_bytes_per_task() for _ in range(plan.rounds(ROUNDS))]
    rows.append(row("kernel memory for each task, measured (slab)", "schedtel", "bytes", samples))
    return rows + _parquet_rows(), []


def _sizes() -> list[Row]:
    """Instructions after the verifier, and bytes of machine code, of each program of schedtel and runqlat."""
    rows = []
    for peer in peers.measured():
        if peer.name in ("schedtel", "runqlat"):
            with peer.watching() as pid:
                for name, size in sorted(kernel.program_sizes(pid).items()):
                    rows.append(row(f"size of {name}", peer.name, "instructions", [size.instructions]))
                    rows.append(row(f"size of {name}", peer.name, "bytes of machine code", [size.machine_bytes]))
    return rows


def _maps() -> list[Row]:
    """Memory of the maps, without task storage: its map takes nothing until a task has an element."""
    rows = []
    for peer in peers.measured():
        if peer.programs:
            with peer.watching() as pid:
                rows.append(row("BPF maps (memlock)", peer.name, "kB", [kernel.map_bytes(pid) / 1e3]))
    return rows


def _calculated() -> list[Row]:
    """Sizes rounded up to the kernel's size classes: powers of two, and 96 and 192 below 256."""
    element = _size_class(_ELEMENT_HEAD_BYTES + STATE_BYTES)
    return [
        row("kernel memory for each task, calculated", "schedtel", "bytes", [element + _size_class(_STORAGE_BYTES)]),
        row("of it the state itself", "schedtel", "bytes", [STATE_BYTES]),
        row("kernel memory for each CPU, calculated", "schedtel", "bytes", [_CPU_BYTES]),
        row("a task's record in the ring", "schedtel", "bytes", [layout.TASK_RECORD.itemsize + 8]),
    ]


def _size_class(size: int) -> int:
    return next(most for most in (96, 128, 192, *(1 << shift for shift in range(8, 22))) if size <= most)


def _slab_bytes_per_task() -> float:
    """Growth of the kernel's slab caches, in bytes for each task, when ``TASKS`` sleeping tasks get state.

    The task cache has its least size, as if the tasks had come later, so half of them are in task storage. Only caches
    that grow by at least an object for four tasks count; growth of others is due to other processes.
    """
    few = mock.patch.object(programs, "thread_count", return_value=1)
    with workloads.workers(TASKS):
        time.sleep(0.5)  # memory of earlier programs is freed after a grace period
        before = process.slab_objects()
        with few, watched():
            after = process.slab_objects()
    grown = {name: (used - before.get(name, (0, 0))[0], size) for name, (used, size) in after.items()}
    return sum(count * size for count, size in grown.values() if count > TASKS / 4) / TASKS


def _parquet_rows() -> list[Row]:
    with workloads.workers(_ACTIVE) as load, tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "recording"
        command = [peers.schedtel_command()[0], "record", "-o", str(target), "-w", "1s", "-n", str(_WINDOWS), "-q"]
        recorder = subprocess.Popen(command, stderr=subprocess.PIPE)
        while recorder.poll() is None:
            load.pulse()
            time.sleep(0.2)
        if recorder.returncode:
            raise BenchmarkError(f"schedtel record ended with {recorder.returncode}: {recorder.stderr.read().decode()}")
        recorder.stderr.close()
        sizes = {table: _bytes_below(target / table) / _WINDOWS for table in ("summary", "tasks", "cpus")}
    name = f"Parquet, {_ACTIVE} active tasks"
    rows = [row(f"{name}: {table}", "schedtel", "bytes/window", [size]) for table, size in sizes.items()]
    return [*rows, row(name, "schedtel", "bytes/window", [sum(sizes.values())])]


def _bytes_below(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
