"""An exec by a thread that is not the leader: one process, three lives, and a key that tells them apart."""

import subprocess
import sys

import schedtel

PROGRAM = """
import os, threading, time
def run():
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    os.execv("/bin/true", ["true"])
threading.Thread(target=run).start()
time.sleep(10)
"""


def test_the_key_of_a_life_is_unique_after_an_exec_by_a_thread():
    with schedtel.live("10s", duration="10s") as source:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM])
        assert process.wait(60) == 0
        source.stop()
        (window,) = list(source)
    rows = [row for row in window.tasks.to_pylist() if row["tgid"] == process.pid]
    keys = [(row["tid"], row["start_boottime_ns"], row["previous_tid"]) for row in rows]
    assert len(set(keys)) == len(keys) == 2, "the leader, which the exec ended, and the thread that took its tid over"
    assert [row["tid"] for row in rows] == [process.pid] * 2
    (taker,) = [row for row in rows if row["previous_tid"] is not None]
    (leader,) = [row for row in rows if row["previous_tid"] is None]
    assert taker["previous_tid"] != process.pid
    assert taker["arrival_ns"] > leader["arrival_ns"]
    assert taker["cpu_ns"] > 20_000_000, "what it did before the exec is in its life"
