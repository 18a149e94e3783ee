"""A child that sleeps often and then blocks, and what the kernel prints of its books in /proc/PID/sched by then."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from waiting import eventually

#: Sleeps often on one CPU, at a nice value; then blocks until its input ends.
CHILD = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])}); os.setpriority(os.PRIO_PROCESS, 0, int(sys.argv[2]))
sys.stdin.readline()
for _ in range(20):
    time.sleep(0.001)
print(flush=True)
sys.stdin.read()
"""


def printed(pid):
    """What /proc/PID/sched says of the task's entity: vruntime in nanoseconds, and the weight."""
    lines = Path(f"/proc/{pid}/sched").read_text(encoding="utf-8", errors="replace").splitlines()
    told = dict(map(str.strip, line.split(":", 1)) for line in lines if line.startswith("se."))
    whole, _, rest = told["se.vruntime"].partition(".")
    return int(whole) * 1_000_000 + int(rest), int(told["se.load.weight"])


@contextmanager
def child(cpu, nice=0, **options):
    command = [sys.executable, "-S", "-c", CHILD, str(cpu), str(nice)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            eventually(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == nice)
            eventually(lambda: os.sched_getaffinity(process.pid) == {cpu})
            yield process
        finally:
            process.kill()


def run_until_it_blocks(process):
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()
    eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] == "S")
