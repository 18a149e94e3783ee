"""Peers that write down every event: perf to a file, ftrace to its buffers. Each proves that it did."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import kernel, process
from benchmarks.failures import PeerError

_PATIENCE_S = 15.0
#: A record of sched_switch is larger than this in perf.data; an entry of ftrace is one entry.
_LEAST_BYTES = 40
_EVENTS = ("sched_switch", "sched_wakeup", "sched_wakeup_new")
_INSTANCE = f"schedtel-bench-{os.getpid()}"


@contextmanager
def perf(path: str) -> Iterator[int]:
    """``perf sched record`` of the whole machine into a file that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "perf.data"
        command = [path, "sched", "record", "-o", str(file)]
        recording = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _wait_for_events(recording)
            before = process.context_switches()
            yield recording.pid
            _end(recording)
            _check_grown(file.stat().st_size, (process.context_switches() - before) * _LEAST_BYTES)
        finally:
            _end(recording)


def _wait_for_events(recording: subprocess.Popen) -> None:
    """Until perf holds an event for each tracepoint and CPU."""
    deadline, seen = time.monotonic() + _PATIENCE_S, -1
    while seen <= 0 or kernel.perf_events(recording.pid) != seen:
        seen = kernel.perf_events(recording.pid)
        if recording.poll() is not None:
            said = recording.stderr.read().decode(errors="replace").strip()
            raise PeerError(f"perf sched record ended with {recording.returncode}: {said[-300:]}")
        if time.monotonic() > deadline:
            raise PeerError(f"perf sched record opened no event in {_PATIENCE_S:g} s")
        time.sleep(0.1)


def _end(recording: subprocess.Popen) -> None:
    """Ctrl-C, as a user would: perf writes the end of its file."""
    if recording.poll() is None:
        recording.send_signal(signal.SIGINT)
        try:
            recording.wait(30)
        except subprocess.TimeoutExpired:
            recording.kill()
            recording.wait()


def _check_grown(size: int, least: int) -> None:
    if size < least // 2:  # events that perf itself says it lost are in the other half
        raise PeerError(f"perf sched record was not attached: {size} bytes written, expected {least}")


@contextmanager
def ftrace() -> Iterator[int]:
    """Scheduler events into ftrace's buffers, in an instance of its own: nobody else's tracing is touched.

    Nothing reads the buffers, which overwrite themselves: what remains is what writing costs. Yields our own pid.
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
    """Where tracefs is mounted; where it is not, a mount of our own that goes away again."""
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
    """Entries that the buffers of all CPUs have taken so far, those that have been overwritten included."""
    texts = [path.read_text() for path in instance.glob("per_cpu/cpu*/stats")]
    return sum(count_entries(text) for text in texts)


def count_entries(stats: str) -> int:
    """Entries and overwritten ones in the text of a ``per_cpu/cpu*/stats``."""
    fields = dict(re.findall(r"^([a-z ]+): (\d+)$", stats, re.MULTILINE))
    return int(fields["entries"]) + int(fields["overrun"])
