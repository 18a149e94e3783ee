"""Threads by the start that the telemetry tells, beside those that the kernel shows now; processes and children."""

import os
import subprocess
import sys
import threading
import time

import pytest
from waiting import eventually

from schedtel.schedulers import threads
from schedtel.schedulers.threads import Look, Seen, children_of, still_there

#: Forks three children that stay, tells their pids, and has others come and go before them and behind them.
STORM = """
import os
def child():
    pid = os.fork()
    if pid == 0:
        os.read(0, 1)
        os._exit(0)
    return pid
def passing():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid
going = [passing()]
print(child(), child(), child(), flush=True)
while True:
    going.append(passing())
    os.waitpid(going.pop(0), 0)
"""


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
    others = [seen._replace(start_ns=start_ns - 1), seen._replace(tgid=1)]
    (found,) = still_there([seen, *others], Look())
    assert (found.tid, found.as_seen()) == (tid, Seen(pid, tid, start_ns))
    over.set()
    thread.join()
    # Python has joined it before the kernel is done with it.
    eventually(lambda: list(still_there([seen], Look())) == [])


@pytest.fixture
def children():
    """Children of this process: one was forked by its first thread, one by another that goes on, one is over."""
    over, forked = threading.Event(), []

    def fork():
        forked.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE))
        over.wait()

    other = threading.Thread(target=fork)
    other.start()
    ended = subprocess.Popen(["true"])
    started = [subprocess.Popen(["cat"], stdin=subprocess.PIPE), ended]
    try:
        eventually(lambda: forked and threads.read_thread(ended.pid, ended.pid).is_over)
        yield {child.pid for child in started + forked}
    finally:
        over.set()
        other.join()
        for child in started + forked:
            child.communicate()


@pytest.mark.parametrize("does_the_kernel_tell", [False, True])
def test_children_are_found_whichever_thread_forked_them_and_also_when_they_are_over(
    children, does_the_kernel_tell, monkeypatch
):
    monkeypatch.setattr(threads, "_has_children", lambda: does_the_kernel_tell)
    assert children <= set(Look().children(os.getpid()))
    assert children | {os.getpid()} <= Look().descendants([os.getpid()])
    assert Look().children(min(children)) == []


def test_no_child_is_left_out_while_others_are_waited_for():
    """The kernel lists children one by one, and loses its place when the last one that it has listed goes."""
    with subprocess.Popen([sys.executable, "-c", STORM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        staying = set(map(int, process.stdout.readline().split()))
        for _ in range(300):
            assert staying <= set(children_of(process.pid))
        process.kill()


@pytest.mark.parametrize("lacks", ["a child", "a thread"])
def test_a_list_of_children_that_others_do_not_confirm_is_read_again(lacks, monkeypatch):
    """As when a child is waited for, or a thread ends, between two of its entries: what comes next is not in it."""
    lists = [b"7 ", b"8 9 ", b"8 9 "] if lacks == "a child" else [b"", b"", b"8 9 ", b"8 9 "]
    tids = [[5], [5], [5]] if lacks == "a child" else [[5, 6], [5], [5]]
    monkeypatch.setattr(threads, "_tids_of", lambda _: tids.pop(0))
    monkeypatch.setattr(threads, "read_file", lambda _: lists.pop(0))
    assert children_of(5) == [8, 9]
    assert not lists


def test_a_look_tells_of_one_moment():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        look = Look()
        before = look.thread(child.pid, child.pid)
        assert not before.is_over
    assert look.thread(child.pid, child.pid) == before
    assert list(look.threads_of(child.pid)) == []
    assert Look().thread(child.pid, child.pid) is None
