"""Files of /proc in which a name may look like a line."""

import ctypes
import os
import threading

import pytest
from waiting import eventually

from schedtel.host import procfs


@pytest.fixture
def renamed():
    """A thread of this process with a name that looks like other lines, to Python; returns its tid."""
    named, done, tids = threading.Event(), threading.Event(), []

    def work():
        ctypes.CDLL(None).prctl(15, b"\rTgid:\t1\rUid:7", 0, 0, 0)
        tids.append(threading.get_native_id())
        named.set()
        done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    named.wait()
    yield tids[0]
    done.set()
    thread.join()


def test_a_name_is_no_line_of_its_own(renamed):
    assert procfs.tgid_of(renamed) == os.getpid()
    thread = procfs.read_thread(os.getpid(), renamed)
    assert (thread.comm, thread.uid) == (b"\rTgid:\t1\rUid:7", os.getuid())


def test_a_thread_that_has_ended_has_no_numbers():
    assert procfs.tgid_of(2**22 + 1) == 0
    with pytest.raises(OSError, match="No such file"):
        procfs.status_number(2**22 + 1, b"Tgid")


def test_threads_are_counted_and_not_those_that_run():
    """The kernel counts those of other pid namespaces as well, and the list in /proc is never of one moment."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(200)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: procfs.thread_count() > 0.9 * len(list(procfs.thread_ids())) > 180)
        if procfs.sees_all_pids():
            eventually(lambda: procfs.thread_count() < 1.1 * len(list(procfs.thread_ids())))
    finally:
        done.set()
        for thread in threads:
            thread.join()
