"""From the start of a Python process to telemetry running: the first window is open."""

import subprocess
import sys
import time
from itertools import pairwise

from benchmarks import peers
from benchmarks.measures import Row, Target, row

PART = "startup"
REPEATS = 9
_TARGET = Target(500, strict=True)

#: Prints CLOCK_MONOTONIC at its first line, after the import, and when live() has returned: the first window is open.
_PROGRAM = """
import time
print(time.monotonic_ns())
import schedtel
print(time.monotonic_ns())
with schedtel.live(window="1s"):
    print(time.monotonic_ns())
"""


def measure() -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    _sample()  # brings files into the page cache: what is measured is not the disk
    samples = [peers.undisturbed(_sample) for _ in range(REPEATS)]
    interpreter, imported, running = (list(column) for column in zip(*samples, strict=True))
    total = [sum(sample) for sample in samples]
    return [
        row("interpreter", "schedtel", "ms", interpreter),
        row("import schedtel", "schedtel", "ms", imported),
        row("load, attach, seed", "schedtel", "ms", running),
        row("process start to first window", "schedtel", "ms", total, _TARGET),
    ], []


def _sample() -> tuple[float, ...]:
    """Milliseconds of each step: interpreter, import, load and attach and seed."""
    moments = [time.monotonic_ns()]
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise peers.PeerError(f"schedtel did not start: {done.stderr.strip()}")
    moments += [int(line) for line in done.stdout.split()]
    return tuple((after - before) / 1e6 for before, after in pairwise(moments))
