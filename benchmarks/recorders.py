"""Peers that write down every event: perf to a file, ftrace to its buffers. Each is proved to have done so."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq

from benchmarks import kernel, process
from benchmarks.failures import PeerError

_Result = TypeVar("_Result")
_PATIENCE_S, _CLOSES_WITHIN_S = 15.0, 60.0
#: A record of sched_switch in perf.data has more bytes than this. For ftrace, entries are counted instead.
_LEAST_BYTES = 40
_EVENTS = ("sched_switch", "sched_wakeup", "sched_wakeup_new")
_INSTANCE = f"schedtel-bench-{os.getpid()}"


@contextmanager
def perf(path: str) -> Iterator[int]:
    """Run ``perf sched record`` on the whole machine, into a file that is deleted afterwards. Yields perf's pid.

    Raises :class:`PeerError` when perf opens no event, or its file has not grown enough at the end.
    """
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "perf.data"
        command = [path, "sched", "record", "-o", str(file)]
        recording = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for_events(recording)
            before = process.context_switches()
            yield recording.pid
            _end(recording)
            _check_grown(file.stat().st_size, (process.context_switches() - before) * _LEAST_BYTES)
        finally:
            _end(recording)


def wait_for_events(recording: subprocess.Popen) -> None:
    """Wait until the number of perf's events stays the same: it then has one for each tracepoint and CPU."""
    deadline, seen = time.monotonic() + _PATIENCE_S, -1
    while seen <= 0 or kernel.perf_events(recording.pid) != seen:
        seen = kernel.perf_events(recording.pid)
        if recording.poll() is not None:
            message = recording.stderr.read().decode(errors="replace").strip()
            raise PeerError(f"perf sched record ended with {recording.returncode}: {message[-300:]}")
        if time.monotonic() > deadline:
            raise PeerError(f"perf sched record opened no event in {_PATIENCE_S:g} s")
        time.sleep(0.1)


def events_command(path: Path, *arguments: str) -> list[str]:
    """The command line of ``schedtel events record`` to a path."""
    return [str(Path(sys.executable).with_name("schedtel")), "events", "record", "-q", "-o", str(path), *arguments]


def wait_for_programs(recording: subprocess.Popen) -> None:
    """Wait until the programs of ``schedtel events record`` are attached, and its start-up is over."""
    deadline = time.monotonic() + _PATIENCE_S
    while not kernel.is_attached(recording.pid):
        if recording.poll() is not None or time.monotonic() > deadline:
            raise PeerError("schedtel events record has not begun")
        time.sleep(0.05)
    time.sleep(0.5)


@contextmanager
def running(command: list[str], has_begun: Callable[[subprocess.Popen], None]) -> Iterator[subprocess.Popen]:
    """A recorder that records; it is ended by SIGINT after the context, if it has not been by then.

    :param has_begun: waits until the recorder records.
    """
    recording = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        has_begun(recording)
        yield recording
        _end(recording)
    finally:
        recording.kill()
        recording.wait()


@dataclass(frozen=True)
class Recorded:
    """What a recording took, and when.

    :param cpu_ns: CPU time of the recorder while the load ran, which lasted ``lasted_ns``.
    :param ended_ns: when it was told to end, on CLOCK_MONOTONIC; ``closed_ns`` later it had.
    """

    lasted_ns: int
    cpu_ns: int
    resident_mb: float
    ended_ns: int
    closed_ns: int


def recorded(
    command: list[str], has_begun: Callable[[subprocess.Popen], None], load: Callable[[subprocess.Popen], _Result]
) -> tuple[_Result, Recorded]:
    """What a load returned that was run beside a recorder, and what the recorder took.

    :param has_begun: waits until the recorder records.
    """
    with running(command, has_begun) as recording:
        cpu_ns, began_ns = process.cpu_ns(recording.pid), time.monotonic_ns()
        result = load(recording)
        lasted_ns = time.monotonic_ns() - began_ns
        cpu_ns, resident_mb = process.cpu_ns(recording.pid) - cpu_ns, process.resident_mb(recording.pid)
        ended_ns = time.monotonic_ns()
        recording.send_signal(signal.SIGINT)
        process.wait(recording, _CLOSES_WITHIN_S)
        closed_ns = time.monotonic_ns() - ended_ns
    return result, Recorded(lasted_ns, cpu_ns, resident_mb, ended_ns, closed_ns)


def events_in(path: Path) -> int:
    """Number of events in a recording of ``schedtel events record``."""
    return sum(pq.ParquetFile(part).metadata.num_rows for part in (path / "events").iterdir())


def _end(recording: subprocess.Popen) -> None:
    """Send SIGINT, as a user's Ctrl-C would, so that perf completes its file."""
    if recording.poll() is None:
        recording.send_signal(signal.SIGINT)
        try:
            recording.wait(30)
        except subprocess.TimeoutExpired:
            recording.kill()
            recording.wait()


def _check_grown(size: int, least: int) -> None:
    if size < least // 2:  # half is enough, since perf may lose events, which it reports itself
        raise PeerError(f"perf sched record was not attached: {size} bytes written, expected {least}")


@contextmanager
def ftrace() -> Iterator[int]:
    """Trace scheduler events into ftrace's buffers, in a separate instance that leaves other users' tracing alone.

    Nothing reads the buffers, which overwrite themselves, so the cost is that of writing only. Yields this process's
    pid. Raises :class:`PeerError` when the buffers received fewer entries than the switches require.
    """
    with _tracefs() as root:
        instance = root / "instances" / _INSTANCE
        instance.mkdir()
        try:
            for event in _EVENTS:
                (instance / "events" / "sched" / event / "enable").write_text("1")
            before, switches = entries_written(instance), process.context_switches()
            yield os.getpid()
            written, switches = entries_written(instance) - before, process.context_switches() - switches
            if written < switches // 2:
                raise PeerError(f"ftrace was not attached: {written} entries for {switches} switches")
        finally:
            instance.rmdir()


@contextmanager
def _tracefs() -> Iterator[Path]:
    """The mount point of tracefs; if there is none, a temporary mount, removed afterwards."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "tracefs":
            yield Path(where)
            return
    with tempfile.TemporaryDirectory() as directory:
        command = ["mount", "-t", "tracefs", "none", directory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(f"ftrace: tracefs cannot be mounted: {done.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=False)


def entries_written(instance: Path) -> int:
    """Entries written so far to the buffers of all CPUs, overwritten ones included."""
    texts = [path.read_text() for path in instance.glob("per_cpu/cpu*/stats")]
    return sum(count_entries(text) for text in texts)


def count_entries(stats: str) -> int:
    """Present and overwritten entries, from the text of a ``per_cpu/cpu*/stats``."""
    fields = dict(re.findall(r"^([a-z ]+): (\d+)$", stats, re.MULTILINE))
    return int(fields["entries"]) + int(fields["overrun"])
