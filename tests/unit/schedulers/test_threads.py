"""Threads by the start that the telemetry tells, beside those that the kernel shows now."""

import os
import threading
import time

from waiting import eventually

from schedtel.schedulers.threads import Seen, still_there


def started_ns(tid):
    """When a thread of this process was started, as CLOCK_BOOTTIME, which is what /proc has in ticks (proc(5))."""
    with open(f"/proc/self/task/{tid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_a_tid_that_another_thread_has_by_now_is_none_of_those_that_were_seen():
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    thread.start()
    pid, tid = os.getpid(), thread.native_id
    start_ns, tick_ns = started_ns(tid), 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert before_ns - tick_ns <= start_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    seen = Seen(pid, tid, start_ns + 1)
    assert list(still_there([seen, seen._replace(start_ns=start_ns - 1), seen._replace(tgid=1)])) == [tid]
    over.set()
    thread.join()
    eventually(lambda: list(still_there([seen])) == [])  # Python has joined it before the kernel is done with it
