"""A flag for signal handlers. threading.Event, put in its place, does not end the first of these tests."""

import os
import signal
import subprocess
import sys
import threading
import time

from schedtel.latch import Latch

#: Two thousand handlers that set a flag which the interrupted thread is waiting for, or about to.
STORM = """
import signal, sys
from schedtel.latch import Latch
flag = None
signal.signal(signal.SIGALRM, lambda *_: flag.set())
for turn in range(2000):
    flag = Latch()
    signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + turn % 50))
    while not flag.wait(0.00001):
        pass
print("done")
"""


def test_a_handler_may_set_what_its_own_thread_waits_for():
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "done\n"


def test_it_stays_open_and_wakes_all_who_wait():
    latch, woken = Latch(), []
    threads = [threading.Thread(target=lambda: woken.append(latch.wait(60))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not latch.is_set()
    latch.set()
    latch.set()
    for thread in threads:
        thread.join(60)
    assert woken == [True] * 3
    assert latch.wait()
    assert latch.is_set()


def test_a_wait_ends_at_its_time():
    began = time.monotonic()
    assert Latch().wait(0.05) is False
    assert time.monotonic() - began >= 0.04


def test_a_signal_that_sets_nothing_ends_no_wait():
    latch = Latch()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert latch.wait(0.1) is False
    finally:
        signal.signal(signal.SIGALRM, before)


def test_its_descriptor_is_closed_with_it():
    before = set(os.listdir("/proc/self/fd"))
    Latch()
    assert set(os.listdir("/proc/self/fd")) == before
