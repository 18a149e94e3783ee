"""Ctrl-C while a program starts tracing: KeyboardInterrupt, wherever it comes, and never a dropped one."""

import subprocess
import sys

import pytest

#: Sends itself SIGINT at moments that are spread over the start; a start that it does not reach is over before.
PROGRAM = """
import os, random, signal, sys, threading, time
import schedtel
began = time.monotonic()
schedtel.live("50ms").close()
lasts, moments, interrupted = time.monotonic() - began, random.Random(18), 0
for _ in range(int(sys.argv[1])):
    timer = threading.Timer(moments.uniform(0, lasts * 0.8), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        schedtel.live("50ms").close()
        timer.join()
        time.sleep(0.01)
    except KeyboardInterrupt:
        interrupted += 1
print(interrupted)
"""


@pytest.mark.slow
def test_an_interrupt_is_never_dropped():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "30"], check=True, capture_output=True, text=True, timeout=200
    )
    assert done.stderr == ""
    assert int(done.stdout) == 30
