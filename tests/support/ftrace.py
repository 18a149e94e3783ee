"""The kernel's own tracer, in an instance of its own: what it prints of one recording, in all of its forms."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

EVENTS = (
    *(f"sched/sched_{name}" for name in ("switch", "wakeup", "wakeup_new")),
    *(f"sched/sched_process_{name}" for name in ("fork", "exit", "exec")),
    "task/task_newtask",
)


class Instance:
    """A directory of tracefs: files that are written and read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def option(self, name: str, *, on: bool = True) -> None:
        self.write("trace_options", name if on else f"no{name}")

    def text(self, *options: str) -> bytes:
        """What has been traced, printed with these options."""
        for option in options:
            self.option(option)
        try:
            return (self.directory / "trace").read_bytes()
        finally:
            for option in options:
                self.option(option, on=False)


@contextmanager
def instance(size_kb: int = 49_152, clock: str = "mono") -> Iterator[Instance]:
    """An instance that traces all events of the scheduler. Skips where there can be none."""
    with tempfile.TemporaryDirectory() as mounted:
        if subprocess.run(["mount", "-t", "tracefs", "none", mounted], capture_output=True, check=False).returncode:
            pytest.skip("needs tracefs (CONFIG_FTRACE, and the right to mount it)")
        directory = Path(mounted) / "instances" / f"schedtel-{os.getpid()}"
        try:
            directory.mkdir()
            try:
                made = Instance(directory)
                made.write("trace_clock", clock)
                made.write("buffer_size_kb", str(size_kb))
                yield made
            finally:
                directory.rmdir()
        finally:
            subprocess.run(["umount", mounted], check=True)


@contextmanager
def tracing(of: Instance, events: Sequence[str] = EVENTS) -> Iterator[None]:
    """Trace for the time of the block."""
    for event in events:
        of.write(f"events/{event}/enable", "1")
    try:
        yield
    finally:
        of.write("tracing_on", "0")
