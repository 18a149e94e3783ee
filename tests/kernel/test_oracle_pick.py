"""The emulator of EEVDF on the running kernel: busy threads of two sessions on one CPU, and what the kernel chose."""

import subprocess
import sys

import pytest
from waiting import PATIENCE_S

from schedtel.eventlog.recording import EventRecording
from schedtel.kernel.libbpf import KernelTypes
from schedtel.oracle.pick.picks import judge

#: Two sessions (two groups, with autogroup), each with a hog and three that run and sleep by turns, of several nice
#: values; all on one CPU, for a second.
LOAD = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end = time.monotonic() + 1
for session in range(2):
    if os.fork() == 0:
        os.setsid()
        for number in range(4):
            if os.fork() == 0:
                os.setpriority(os.PRIO_PROCESS, 0, 5 * (number % 2))
                while time.monotonic() < end:
                    until = time.monotonic() + 0.0005 * (number + 1)
                    while time.monotonic() < until:
                        pass
                    if number:
                        time.sleep(0.0003 * number)
                os._exit(0)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                os._exit(0)
for _ in range(2):
    os.wait()
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory, last_cpu):
    with KernelTypes() as kernel:
        if not kernel.has_member("sched_entity", "deadline"):
            pytest.skip("needs a kernel with EEVDF (6.6)")
    where = tmp_path_factory.mktemp("picks") / "rec"
    command = [sys.executable, "-m", "schedtel.cli", "events", "record", "-o", where, "--books", "-q"]
    load = subprocess.Popen([sys.executable, "-S", "-c", LOAD, str(last_cpu)])
    try:
        subprocess.run([*command, "-d", "800ms"], check=True, timeout=PATIENCE_S)
    finally:
        load.wait(PATIENCE_S)
    return EventRecording(where)


def test_the_emulator_names_nearly_every_thread_that_comes(recording):
    """Where two or more waited. A coin between two would be right at half of them."""
    picks = judge(recording, 3_000)
    assert len(picks.contested) >= 200
    assert picks.spoiled < len(picks.contested) / 2
    assert picks.share("emulator") >= 0.95
    for guess in ("without_books", "last_woken", "lowest_vruntime", "longest_waiting"):
        assert picks.share(guess) < picks.share("emulator")
